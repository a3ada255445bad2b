// What became of the connection: opened, lost, resumed, with which gaps. Read out by screen readers.

import { el } from './dom.js';
import { timeOfDay } from './format.js';

const MOST = 60;

export class Log {
  /** @param {Element} list */
  constructor(list) {
    this.list = list;
  }

  /**
   * @param {string} text
   * @param {'plain' | 'good' | 'warn' | 'bad'} [kind]
   */
  add(text, kind = 'plain') {
    const now = Date.now();
    const time = el('time', { datetime: new Date(now).toISOString(), class: 'number quiet' }, timeOfDay(now));
    this.list.prepend(el('li', { class: kind }, time, ' ', text));
    while (this.list.children.length > MOST) this.list.lastElementChild.remove();
  }
}
