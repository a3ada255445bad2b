// How soon updates arrive over each transport, side by side, so that switching shows what it changes.

import { el, say } from './dom.js';
import { count, duration, transportName } from './format.js';
import { percentile } from './numbers.js';

const MOST = 500;

export class Comparison {
  #times = { ws: [], sse: [], poll: [] };
  #cells = {};

  /** @param {Element} body The table's. */
  constructor(body) {
    for (const transport of Object.keys(this.#times)) {
      const cells = ['number', 'number', 'number'].map((name) => el('td', { class: name }, '–'));
      this.#cells[transport] = cells;
      body.append(el('tr', {}, el('th', { scope: 'row' }, transportName(transport)), ...cells));
    }
  }

  /**
   * An update that came as it was published, not from history.
   *
   * @param {'ws' | 'sse' | 'poll'} transport
   * @param {number} ms From the edge's taking it to its arrival.
   */
  add(transport, ms) {
    const times = this.#times[transport];
    times.push(ms);
    if (times.length > MOST) times.shift();
  }

  show() {
    for (const [transport, times] of Object.entries(this.#times)) {
      if (times.length === 0) continue;
      const texts = [count(times.length), duration(percentile(times, 50)), duration(percentile(times, 90))];
      this.#cells[transport].forEach((cell, index) => say(cell, texts[index]));
    }
  }
}
