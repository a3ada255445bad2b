// Waiting for a ticket's offer.

import { opened, stampsOf } from './cloudevent.js';
import { ask, events, socket } from './line.js';
import { pause, persist } from './persist.js';
import { problem } from './problem.js';

/**
 * Waits for the offer of `ticket` at the edge `url`.
 *
 * @param {string} url
 * @param {Record<string, number>} memory
 * @param {string} ticket
 * @param {import('./headstart.d.ts').OfferOptions} [options]
 * @returns {Promise<import('./headstart.d.ts').Offer>}
 */
export function offer(url, memory, ticket, { transports = ['sse', 'ws', 'wait', 'poll'], signal, onTransport } = {}) {
  url += '/tickets/' + ticket;

  // What an answer with the offer says; nothing where it is not there yet.
  /** @returns {Promise<void | Omit<import('./headstart.d.ts').Offer, 'via'>>} */
  async function read(signal, headers) {
    const answer = await ask(url, { signal, headers });
    const header = (name) => answer.headers.get(name) ?? '';
    if (answer.status === 202) {
      // An answer that was held need not be waited for once more.
      return pause(header('preference-applied') ? 0 : /** @type {any} */ (header('retry-after')) * 1000, signal);
    }
    const mediaType = header('content-type');
    const kind = /[/+]json/.test(mediaType) ? 'json' : /^text/.test(mediaType) ? 'text' : 'arrayBuffer';
    return {
      content: await answer[kind](),
      mediaType,
      stamps: stampsOf(
        header('headstart-stamps')
          .split(', ')
          .map((pair) => pair.split('=')),
      ),
      eventId: header('headstart-event-id'),
    };
  }

  // What the event that settled the ticket says.
  /** @returns {ReturnType<typeof read> | Omit<import('./headstart.d.ts').Offer, 'via'>} */
  function settled(text, signal) {
    const event = JSON.parse(text);
    if (/failed$/.test(event.type)) throw problem('generation-failed', 502, event.data?.reason);
    // Too large to come with its event.
    if (event.dataref) return read(signal);
    const { data: content, id: eventId, ...rest } = opened(event);
    return { content, eventId, ...rest };
  }

  const asking = (prefer) => async (opened, signal, alive) => {
    for (;;) {
      alive();
      const got = await read(signal, prefer);
      opened();
      if (got) return got;
    }
  };

  const ways = {
    async sse(opened, signal, alive) {
      for await (const { data, retry } of events(url + '/events', { signal })) {
        opened(retry);
        alive();
        if (data) return settled(data, signal);
      }
    },

    async ws(opened, signal, alive) {
      const text = await socket(url + '/ws', signal, (_, resolve) => ({
        onopen() {
          opened();
          // It says nothing until the offer is there, so it is opened anew from time to time.
          alive();
        },
        onmessage: ({ data }) => resolve(data),
      }));
      return settled(text, signal);
    },

    wait: asking({ prefer: 'wait=25' }),
    poll: asking(),
  };

  return persist({
    transports,
    memory,
    signal,
    async attempt(via, ...line) {
      onTransport?.(via);
      const got = await ways[via](...line);
      return got && { ...got, via };
    },
  });
}
