// The waits of this run as bars, and those of all runs as a strip of dots with median and p95.

import { percentile } from './statistics.js';
import { WAYS } from './ways.js';

const SVG = 'http://www.w3.org/2000/svg';
const body = document.querySelector('#felt tbody');
const runs = document.getElementById('runs');
const forgetButton = document.getElementById('forget');

/** @type {Map<string, number[]>} The waits of each way, in ms, oldest first. */
const past = new Map(WAYS.map(({ id }) => [id, []]));
const rows = new Map();

for (const way of WAYS) {
  const row = document.createElement('tr');
  row.style.setProperty('--lane', `var(${way.color})`);
  row.dataset.way = way.id;
  const name = document.createElement('th');
  name.scope = 'row';
  name.textContent = way.name;
  const cells = Array.from({ length: 5 }, () => document.createElement('td'));
  for (const cell of cells.slice(1, 4)) cell.className = 'number';
  const bar = document.createElement('span');
  bar.className = 'bar';
  bar.hidden = true;
  cells[0].append(bar);
  row.append(name, ...cells);
  body.append(row);
  rows.set(way.id, { bar, cells });
}

const text = (ms) => (ms === undefined ? '–' : Math.round(ms).toString());

function strip(values, most) {
  const drawing = document.createElementNS(SVG, 'svg');
  drawing.setAttribute('class', 'strip');
  drawing.setAttribute('viewBox', '0 0 144 19');
  drawing.setAttribute('role', 'img');
  drawing.setAttribute('aria-label', values.map((ms) => `${text(ms)} ms`).join(', '));
  for (const ms of values) {
    const dot = document.createElementNS(SVG, 'circle');
    dot.setAttribute('cx', (4 + (136 * ms) / most).toFixed(1));
    dot.setAttribute('cy', '9.5');
    dot.setAttribute('r', '3.5');
    drawing.append(dot);
  }
  return drawing;
}

function draw(now) {
  const most = Math.max(1, ...[...past.values()].flat());
  const mostNow = Math.max(1, ...[...now.values()].filter((ms) => ms !== undefined));
  for (const [id, { bar, cells }] of rows) {
    const values = past.get(id);
    const ms = now.get(id);
    bar.hidden = ms === undefined;
    bar.style.width = `${((100 * (ms ?? 0)) / mostNow).toFixed(1)}%`;
    cells[1].textContent = text(ms);
    cells[2].textContent = text(percentile(values, 50));
    cells[3].textContent = text(percentile(values, 95));
    cells[4].replaceChildren(...(values.length > 0 ? [strip(values, most)] : []));
  }
  const count = Math.max(...[...past.values()].map((values) => values.length));
  runs.textContent = count === 0 ? 'No run yet.' : `${count} ${count === 1 ? 'run' : 'runs'} with these settings.`;
  forgetButton.hidden = count === 0;
}

/**
 * A run has ended with these waits, in ms, by way; a way without one has failed.
 * @param {Map<string, number | undefined>} waits
 */
export function add(waits) {
  for (const [id, ms] of waits) if (ms !== undefined) past.get(id).push(ms);
  draw(waits);
}

/** Forgets all runs: what was measured with other settings says nothing about these. */
export function forget() {
  for (const values of past.values()) values.length = 0;
  draw(new Map());
}

forgetButton.addEventListener('click', forget);
