// The table of who is connected: a row each, this page's own first.

import { el, say } from './dom.js';
import { coordinates, duration, plural, timeOfDay, transportName } from './format.js';

const MOST = 100;

function placeText({ country, region, city, latitude, longitude, shared }) {
  const known = latitude !== undefined && longitude !== undefined;
  if (shared && known) return `${coordinates(latitude, longitude)} (shared)`;
  const names = [city, region, country].filter((name) => name !== undefined && name !== '');
  if (names.length > 0) return [...new Set(names)].join(', ');
  return known ? `about ${coordinates(latitude, longitude)}` : 'not known';
}

class Row {
  constructor() {
    this.id = el('b', { class: 'id' });
    this.you = el('span', { class: 'tag' }, 'you');
    this.how = el('span', { class: 'quiet how' });
    this.place = el('td');
    this.last = el('td', { class: 'number' });
    this.usual = el('td', { class: 'number usual' });
    this.who = el('th', { scope: 'row' }, this.id, ' ', this.you, this.how);
    this.element = el('tr', {}, this.who, this.place, this.last, this.usual);
  }

  show(client, own) {
    const { id, transport, place, connectedat, roundtrip } = client;
    say(this.id, id.slice(0, 8));
    this.you.hidden = !own;
    this.element.classList.toggle('own', own);
    say(this.how, `${transportName(transport)}, since ${timeOfDay(connectedat)}`);
    say(this.place, placeText(place));
    say(this.last, roundtrip === undefined ? 'no ack yet' : duration(roundtrip.last));
    say(
      this.usual,
      roundtrip === undefined ? '' : [roundtrip.p50, roundtrip.p90, roundtrip.p99].map(duration).join(' · '),
    );
    return this.element;
  }
}

export class Clients {
  #rows = new Map();

  /**
   * @param {Element} body The table's.
   * @param {Element} summary Says how many there are.
   */
  constructor(body, summary) {
    this.body = body;
    this.summary = summary;
  }

  /**
   * @param {import('./presence.js').Present} present
   * @param {string | undefined} own The page's own id.
   */
  show({ count, clients }, own) {
    const order = [...clients.values()].sort(
      (a, b) => (b.id === own) - (a.id === own) || a.connectedat - b.connectedat || (a.id < b.id ? -1 : 1),
    );
    const shown = order.slice(0, MOST);
    const rows = new Map(shown.map((client) => [client.id, this.#rows.get(client.id) ?? new Row()]));
    this.#rows = rows;
    const elements = shown.map((client) => rows.get(client.id).show(client, client.id === own));
    const same =
      elements.length === this.body.children.length && elements.every((row, n) => row === this.body.children[n]);
    if (!same) this.body.replaceChildren(...elements);
    const rest = count > shown.length ? `, of whom ${shown.length} are listed` : '';
    say(this.summary, `${plural(count, 'client')} connected${rest}.`);
  }

  /** @param {string} why The edge does not tell who is there. */
  none(why) {
    this.#rows.clear();
    this.body.replaceChildren();
    say(this.summary, why);
  }
}
