// The page's one subscription: opened anew with other topics, over another transport, with a token or a
// place, and always going on where it was.

import { connect } from '../client/headstart.js';

/**
 * @typedef {object} Settings
 * @property {string[]} topics
 * @property {'ws' | 'sse' | 'poll'} transport
 * @property {string | undefined} token
 * @property {{latitude: number, longitude: number} | undefined} place
 */

export class Connection {
  #subscription;
  #settings;

  /**
   * @param {string} url Where the edge is.
   * @param {Settings} settings
   * @param {object} handlers `onUpdate`, `onGap`, `onState`, `onWelcome`, as the client calls them.
   */
  constructor(url, settings, handlers) {
    this.url = url;
    this.handlers = handlers;
    this.#settings = settings;
    this.#open('');
  }

  get settings() {
    return this.#settings;
  }

  /** @param {Partial<Settings>} changes */
  change(changes) {
    const old = this.#subscription;
    // What it says from now on is no longer of interest.
    this.#subscription = undefined;
    old.close();
    this.#settings = { ...this.#settings, ...changes };
    const kept = old.cursor.split(',').filter((pair) => this.#settings.topics.includes(pair.split('=')[0]));
    this.#open(kept.join(','));
  }

  /** @param {{topic: string, id: string, data: unknown, [attribute: string]: unknown}} update */
  publish(update) {
    return this.#subscription.publish(update);
  }

  /** The last round trip over a WebSocket, in milliseconds by the browser's clock. */
  get roundTrip() {
    return this.#subscription.roundTrip;
  }

  #open(cursor) {
    const { topics, transport, token, place } = this.#settings;
    const current =
      (handler) =>
      (...values) => {
        if (subscription === this.#subscription) handler(...values);
      };
    const handlers = Object.entries(this.handlers).map(([name, handler]) => [name, current(handler)]);
    const subscription = connect(this.url, { token }).subscribe(topics, {
      ...Object.fromEntries(handlers),
      transports: [transport],
      cursor,
      latest: true,
      ack: true,
      place,
    });
    this.#subscription = subscription;
  }
}
