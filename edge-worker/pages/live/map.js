// A world map with everyone's place and round trip. The land comes with the page.

import { geoGraticule10, geoNaturalEarth1, geoPath } from 'd3-geo';
import { feature } from 'topojson-client';
import world from 'world-atlas/land-110m.json';

import { say } from './dom.js';
import { count, duration, plural } from './format.js';
import { labelsOf, marksOf, radiusOf } from './places.js';

const land = feature(world, world.objects.land);
const SVG = 'http://www.w3.org/2000/svg';

// How far is near, in milliseconds. The page's legend says the same.
const NEAR_MS = 50;
const FAR_MS = 200;

function svg(name, attributes = {}, text = '') {
  const element = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
  element.textContent = text;
  return element;
}

function distance(roundTrip) {
  if (roundTrip === undefined) return 'unknown';
  if (roundTrip < NEAR_MS) return 'near';
  return roundTrip < FAR_MS ? 'middle' : 'far';
}

function labelOf({ clients, own, roundTrip }) {
  const who = own ? 'you' : '';
  const many = clients > 1 ? `×${count(clients)}` : '';
  const trip = roundTrip === undefined ? '' : duration(roundTrip);
  return [who, many, trip].filter((part) => part !== '').join(' ');
}

export class WorldMap {
  #figure;
  #caption;
  #svg = svg('svg', { role: 'img' });
  #ground = svg('g');
  #marks = svg('g');
  #projection = geoNaturalEarth1();
  #width = 0;
  #present = { clients: new Map() };
  #own;

  /**
   * @param {Element} figure Where the map goes; it is as wide.
   * @param {Element} caption Says in words what the map shows.
   */
  constructor(figure, caption) {
    this.#figure = figure;
    this.#caption = caption;
    this.#svg.append(this.#ground, this.#marks);
    figure.append(this.#svg);
    new ResizeObserver(() => this.#draw()).observe(figure);
  }

  /**
   * @param {import('./presence.js').Present} present
   * @param {string | undefined} own This page's id.
   */
  show(present, own) {
    this.#present = present;
    this.#own = own;
    this.#mark();
  }

  #draw() {
    const width = Math.floor(this.#figure.clientWidth);
    if (width === this.#width || width === 0) return;
    this.#width = width;
    this.#projection.fitWidth(width, { type: 'Sphere' });
    const path = geoPath(this.#projection).digits(1);
    const height = Math.ceil(path.bounds({ type: 'Sphere' })[1][1]);
    this.#svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    this.#ground.replaceChildren(
      svg('path', { class: 'sea', d: path({ type: 'Sphere' }) }),
      svg('path', { class: 'graticule', d: path(geoGraticule10()) }),
      svg('path', { class: 'land', d: path(land) }),
    );
    this.#mark();
  }

  #mark() {
    if (this.#width === 0) return;
    const { marks, unknown } = marksOf(this.#present.clients.values(), this.#own, this.#projection);
    const labels = labelsOf(marks, labelOf, this.#width);
    this.#marks.replaceChildren(
      ...marks.map((mark, index) => {
        const { x, y, clients, own, roundTrip } = mark;
        const group = svg('g', { class: `mark ${distance(roundTrip)}${own ? ' own' : ''}` });
        group.append(svg('circle', { cx: x, cy: y, r: radiusOf(clients) }));
        const at = labels[index];
        if (at !== undefined) {
          group.append(svg('text', { x: at.x, y, 'text-anchor': at.anchor }, labelOf(mark)));
        }
        return group;
      }),
    );
    const placed = this.#present.clients.size - unknown;
    const rest = unknown > 0 ? ` The place of ${count(unknown)} is not known.` : '';
    const words = `${plural(placed, 'client')} on the map.${rest}`;
    say(this.#caption, words);
    this.#svg.setAttribute('aria-label', `World map. ${words} The table of clients has their places and round trips.`);
  }
}
