// Charts over time: round trips, and updates a second.

import uPlot from 'uplot';

import { el } from './dom.js';
import { Series, WINDOW } from './series.js';

const HEIGHT = 140;
const MINUTE = 60;
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/**
 * One chart, as wide as its figure, in the page's colours.
 *
 * @typedef {object} Line
 * @property {string} name
 * @property {string} colour A custom property of the style sheet.
 * @property {number[]} [dash] So that lines differ by more than colour.
 */
class Chart {
  #figure;
  #lines;
  #unit;
  #series;
  #plot;

  /**
   * @param {Element} figure
   * @param {string} unit
   * @param {Line[]} lines
   */
  constructor(figure, unit, lines) {
    this.#figure = el('div', { class: 'plot', 'aria-hidden': 'true' });
    figure.append(this.#figure);
    this.#lines = lines;
    this.#unit = unit;
    this.#series = new Series(lines.length);
    new ResizeObserver(() => this.#resize()).observe(this.#figure);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#make());
    this.#make();
  }

  add(second, values) {
    this.#series.add(second, values);
    this.#plot.setData(this.#series.data, false);
    this.#plot.setScale('x', { min: second - WINDOW, max: second });
  }

  #resize() {
    const width = Math.floor(this.#figure.clientWidth);
    if (width > 0 && width !== this.#plot.width) this.#plot.setSize({ width, height: HEIGHT });
  }

  #make() {
    this.#plot?.destroy();
    const axis = { stroke: colour('--quiet'), grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false } };
    const times = (_, seconds) => seconds.map((second) => clock.format(second * 1000));
    const number = (_, values) => values.map((value) => `${value} ${this.#unit}`);
    const options = {
      width: Math.max(1, Math.floor(this.#figure.clientWidth)),
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      scales: { y: { range: (_, __, max) => [0, Math.max(1, (max ?? 0) * 1.1)] } },
      axes: [
        { ...axis, size: 28, values: times, space: 40, incrs: [MINUTE, 2 * MINUTE, 5 * MINUTE] },
        { ...axis, size: 64, values: number, space: 32 },
      ],
      series: [
        {},
        ...this.#lines.map((line) => ({
          label: line.name,
          stroke: colour(line.colour),
          width: 2,
          dash: line.dash,
          spanGaps: true,
          points: { show: false },
        })),
      ],
    };
    this.#plot = new uPlot(options, this.#series.data, this.#figure);
  }
}

export class Charts {
  /**
   * @param {Element} roundTrips
   * @param {Element} rate
   */
  constructor(roundTrips, rate) {
    this.roundTrips = new Chart(roundTrips, 'ms', [
      { name: 'this page', colour: '--accent' },
      { name: 'median of all', colour: '--lane-sse', dash: [8, 4] },
      { name: '90th percentile of all', colour: '--lane-origin', dash: [2, 4] },
    ]);
    this.rate = new Chart(rate, '/s', [{ name: 'updates a second', colour: '--accent' }]);
  }

  /**
   * The next second.
   *
   * @param {number} now In milliseconds since the Unix epoch.
   * @param {{rate: number, own?: number, median?: number, slow?: number}} values
   */
  add(now, { rate, own, median, slow }) {
    const second = Math.floor(now / 1000);
    this.roundTrips.add(second, [own, median, slow]);
    this.rate.add(second, [rate]);
  }
}
