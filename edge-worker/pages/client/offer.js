// Waiting for a ticket's offer.

import { dataOf, mediaTypeOf, stampsOf } from './cloudevent.js';
import { ask, events, line } from './line.js';
import { pause, persist } from './persist.js';
import { problem } from './problem.js';

// The edge holds an answer for as long.
const WAIT_S = 25;
// A stream is opened at once, and then says something every 20 s.
const OPENS_MS = 8000;
const SILENT_MS = 45000;

// Waits for the offer of `ticket` at the edge `url`.
export function offer(url, memory, ticket, { transports = ['sse', 'ws', 'wait', 'poll'], signal, onTransport } = {}) {
  const path = url + '/tickets/' + ticket;

  // What an answer with the offer says; nothing where it is not there yet.
  async function read(signal, headers) {
    const answer = await ask(path, { signal, headers, cache: 'no-store' });
    if (answer.status === 202) {
      // An answer that was held need not be waited for once more.
      const held = answer.headers.has('preference-applied');
      return held ? undefined : pause(answer.headers.get('retry-after') * 1000, signal);
    }
    const mediaType = answer.headers.get('content-type') ?? '';
    const stamps = (answer.headers.get('headstart-stamps') ?? '').split(', ').map((stamp) => stamp.split('='));
    return {
      content: /[/+]json\b/.test(mediaType)
        ? await answer.json()
        : /^text\//.test(mediaType)
          ? await answer.text()
          : new Uint8Array(await answer.arrayBuffer()),
      mediaType,
      stamps: stampsOf(Object.fromEntries(stamps)),
      eventId: answer.headers.get('headstart-event-id') ?? '',
    };
  }

  // What the event that settled the ticket says.
  function settled(event, signal) {
    if (/failed$/.test(event.type)) throw problem('generation-failed', 502, event.data?.reason);
    // Too large to come with its event.
    if (event.dataref) return read(signal);
    return { content: dataOf(event), mediaType: mediaTypeOf(event), stamps: stampsOf(event), eventId: event.id };
  }

  const ways = {
    async sse(signal, alive, opened) {
      for await (const event of events(await ask(path + '/events', { signal }))) {
        opened(event.retry);
        alive(SILENT_MS);
        if (event.data) return settled(JSON.parse(event.data), signal);
      }
    },

    async ws(signal, alive, opened) {
      const event = await new Promise((resolve, reject) => {
        const socket = new WebSocket(path.replace('http', 'ws') + '/ws');
        socket.onopen = () => {
          opened();
          // It says nothing until the offer is there, so it is opened anew from time to time.
          alive(SILENT_MS);
        };
        socket.onmessage = ({ data }) => resolve(JSON.parse(data));
        socket.onclose = () => reject(new Error('the WebSocket closed'));
        signal.addEventListener('abort', () => {
          socket.close();
          reject(signal.reason);
        });
      });
      return settled(event, signal);
    },

    wait: (signal, alive, opened) => repeat(signal, alive, opened, { prefer: 'wait=' + WAIT_S }),
    poll: (signal, alive, opened) => repeat(signal, alive, opened),
  };

  async function repeat(signal, alive, opened, headers) {
    for (;;) {
      alive(SILENT_MS);
      const got = await read(signal, headers);
      opened();
      if (got) return got;
    }
  }

  return persist({
    transports,
    memory,
    signal,
    attempt: async (via, opened) => {
      onTransport?.(via);
      const got = await line(signal, OPENS_MS, (signal, alive) => ways[via](signal, alive, opened));
      return got && { ...got, via };
    },
    rest: (ms) => pause(ms, signal),
  });
}
