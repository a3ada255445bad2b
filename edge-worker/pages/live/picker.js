// The topics that the page follows: chosen here, and kept in the page's address, so that a view can be
// shared.

import { byId, el, say } from './dom.js';
import { fault, MAX_TOPICS } from './topics.js';

export class Picker {
  #onChange;
  #topics = [];

  /** @param {(topics: string[]) => void} onChange */
  constructor(onChange) {
    this.#onChange = onChange;
    const [field, problem] = [byId('topic'), byId('topic-problem')];
    byId('topic-form').addEventListener('submit', (event) => {
      event.preventDefault();
      const name = field.value.trim();
      let wrong = fault(name);
      if (this.#topics.includes(name)) wrong = 'This topic is there already.';
      else if (this.#topics.length === MAX_TOPICS) wrong = `One connection has at most ${MAX_TOPICS} topics.`;
      say(problem, wrong);
      field.setAttribute('aria-invalid', String(wrong !== ''));
      if (wrong !== '') return;
      field.value = '';
      this.#onChange([...this.#topics, name]);
    });
  }

  /** @param {string[]} topics */
  show(topics) {
    this.#topics = topics;
    byId('topics').replaceChildren(...topics.map((topic) => this.#chip(topic)));
  }

  #chip(topic) {
    const chip = el('li', { class: 'chip' }, topic);
    if (this.#topics.length > 1) {
      const remove = el('button', { type: 'button', class: 'remove', 'aria-label': `Do not follow ${topic}` }, '×');
      remove.addEventListener('click', () => {
        this.#onChange(this.#topics.filter((other) => other !== topic));
        // The button is gone, and the keyboard's focus would be with it.
        byId('topic').focus();
      });
      chip.append(remove);
    }
    return chip;
  }
}
