// The updates, newest first, each with the hops of its way. Everything in an update is somebody's: it is
// shown as text, cut where it is long.

import { el, say } from './dom.js';
import { count, duration, timeOfDay } from './format.js';
import { hopsOf } from './hops.js';
import { gapText } from './narrate.js';

const MOST = 100;
const MOST_CHARACTERS = 2000;

/** @param {string} text */
function cut(text) {
  if (text.length <= MOST_CHARACTERS) return text;
  return `${text.slice(0, MOST_CHARACTERS)}… (${count(text.length)} characters in all)`;
}

function textOf(data) {
  if (data instanceof ArrayBuffer) return `${count(data.byteLength)} bytes, not text`;
  if (typeof data === 'string') return data;
  return JSON.stringify(data) ?? 'no data';
}

function hopItem({ name, ms, crossing }, kind) {
  const item = el('li', { class: crossing ? `${kind} crossing` : kind }, `${name} `);
  item.append(el('b', { class: 'number' }, duration(ms)));
  if (crossing) item.append(' ', el('span', { class: 'differ' }, 'clocks differ'));
  return item;
}

/**
 * One update.
 *
 * @param {import('../client/headstart.js').Update} update
 * @param {{arrivedAt: number, publishedHere: boolean, missed: boolean}} arrival
 */
function updateItem(update, { arrivedAt, publishedHere, missed }) {
  const { hops, whole } = hopsOf(update.stamps, arrivedAt, publishedHere);
  const head = el('p', { class: 'head' }, el('b', {}, update.topic), ' ');
  head.append(el('span', { class: 'number' }, `#${update.sequence}`), ' ');
  head.append(el('time', { class: 'number quiet', datetime: new Date(arrivedAt).toISOString() }, timeOfDay(arrivedAt)));
  if (missed) head.append(' ', el('span', { class: 'tag' }, 'from history'));
  const list = el('ol', { class: 'hops', 'aria-label': 'Hops' }, ...hops.map((hop) => hopItem(hop, 'hop')));
  if (whole !== undefined) list.append(hopItem(whole, 'whole'));
  const source = typeof update.event.source === 'string' ? update.event.source : '';
  const origin = el(
    'p',
    { class: 'from quiet' },
    'id ',
    el('bdi', {}, cut(update.id)),
    ' from ',
    el('bdi', {}, cut(source)),
  );
  return el('li', {}, head, el('pre', {}, cut(textOf(update.data))), list, origin);
}

export class Feed {
  #list;
  #pause;
  /** Items that are not shown yet, oldest first, made when they are. */
  #queue = [];
  #paused = false;
  #frame;

  /**
   * @param {Element} list
   * @param {HTMLButtonElement} pause
   */
  constructor(list, pause) {
    this.#list = list;
    this.#pause = pause;
    pause.addEventListener('click', () => {
      this.#paused = !this.#paused;
      pause.setAttribute('aria-pressed', String(this.#paused));
      this.#show();
    });
  }

  /** As {@link updateItem}. */
  update(update, arrival) {
    this.#add(() => updateItem(update, arrival));
  }

  /** @param {import('../client/headstart.js').Gap} gap */
  gap(gap) {
    const text = gapText(gap);
    this.#add(() => el('li', { class: 'gap' }, text));
  }

  #add(item) {
    this.#queue.push(item);
    if (this.#queue.length > MOST) this.#queue.shift();
    // Many may come before the browser draws again.
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = undefined;
      this.#show();
    });
  }

  #show() {
    if (this.#paused) {
      const waiting = this.#queue.length === MOST ? `${MOST} or more` : this.#queue.length;
      say(this.#pause, this.#queue.length === 0 ? 'Go on' : `Go on (${waiting} new)`);
      return;
    }
    say(this.#pause, 'Pause');
    this.#list.prepend(...this.#queue.reverse().map((item) => item()));
    this.#queue = [];
    while (this.#list.children.length > MOST) this.#list.lastElementChild.remove();
  }
}
