// Puts into words what becomes of the connection.

import { duration, plural, transportName } from './format.js';

/**
 * @param {{topic: string, after: number, first: number}} gap
 */
export function gapText({ topic, after, first }) {
  if (first <= after) return `Gap: ${topic} numbers its updates anew, from ${first} on. What came between is lost.`;
  const lost = first - after - 1;
  const which = lost === 1 ? `${after + 1} is` : `${after + 1} to ${first - 1} are`;
  return `Gap: of ${topic}, ${which} lost (${plural(lost, 'update')}). The edge goes back to ${first}.`;
}

/** Follows the connection and says what happens in the log. */
export class Narrator {
  #log;
  #positions = new Map();
  /** When the connection was last seen to be open and is not now. */
  #lostAt;
  #startedAt = Date.now();

  /** @param {import('./log.js').Log} log */
  constructor(log) {
    this.#log = log;
  }

  /**
   * The page itself opens the connection anew. Of topics that it no longer follows, nothing is resumed.
   *
   * @param {string} why
   * @param {string[]} topics
   */
  changed(why, topics) {
    for (const topic of this.#positions.keys()) {
      if (!topics.includes(topic)) this.#positions.delete(topic);
    }
    this.#startedAt = Date.now();
    this.#lostAt = undefined;
    this.#log.add(why);
  }

  /** As the client tells it, and what it was before. */
  state(state, { transport, retryIn, error }, was) {
    const now = Date.now();
    const lost = was === 'open' && (state === 'waiting' || state === 'connecting' || state === 'paused');
    if (lost) this.#lostAt = now;
    if (state === 'waiting') {
      const what = lost ? 'Connection lost' : 'No connection';
      const reason = error?.message ? ` (${error.message})` : '';
      const again = retryIn === undefined ? '' : `; trying again in ${duration(retryIn)}`;
      this.#log.add(`${what}${reason}${again}.`, 'warn');
    } else if (state === 'paused') {
      this.#log.add('Paused: the page is hidden, or the browser is offline.', 'warn');
    } else if (state === 'closed' && error !== undefined) {
      this.#log.add(`The edge refuses: ${error.message}`, 'bad');
    } else if (lost) {
      this.#log.add('Connection lost.', 'warn');
    } else if (state === 'connecting' && this.#lostAt === undefined) {
      this.#log.add(`Connecting over ${transportName(transport)}.`);
    }
  }

  /** Gives whether the connection had been lost. */
  welcome({ topics }, transport) {
    const now = Date.now();
    const resumed = this.#lostAt !== undefined;
    this.#log.add(
      resumed
        ? `Reconnected over ${transportName(transport)} after ${duration(now - this.#lostAt)}.`
        : `Connected over ${transportName(transport)} in ${duration(now - this.#startedAt)}.`,
      'good',
    );
    for (const [topic, latest] of Object.entries(topics)) this.#position(topic, latest);
    this.#lostAt = undefined;
    return resumed;
  }

  #position(topic, latest) {
    const have = this.#positions.get(topic);
    if (have !== undefined) {
      const missed = latest - have;
      const what = missed > 0 ? `${plural(missed, 'update')} missed` : 'nothing missed';
      this.#log.add(`Resumed ${topic} after ${have}: ${what}.`, 'good');
    } else if (latest > 0) {
      this.#log.add(`${topic} is at ${latest}.`);
    } else {
      this.#log.add(`Nothing has been published on ${topic} yet.`);
    }
    // Where there is a latest update, it comes, and says the position itself.
    if (have === undefined && latest === 0) this.#positions.set(topic, 0);
  }

  gap(gap) {
    this.#log.add(gapText(gap), 'bad');
    this.#positions.set(gap.topic, gap.first - 1);
  }

  update({ topic, sequence }) {
    this.#positions.set(topic, sequence);
  }
}
