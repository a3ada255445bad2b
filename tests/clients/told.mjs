// What the scripts that follow something with another's client have in common. Each is started with a URL, tells
// the test all that it is told, and ends when the test has had enough. What a library leaves to its user, such as
// coming back, each script does as the library's README shows it.

import { ask, finish } from '../ask.mjs';

export const [url, topic] = process.argv.slice(2);

// The names that an edge gives what it tells over Server-Sent Events.
export const KINDS = ['update', 'gap', 'offer', 'failed'];

// How long a script waits before it connects again, where its library leaves that to it.
export const PAUSE_MS = 500;

// Ends the script where the test has had enough. Gives whether it goes on.
async function goOn(asking) {
  if (await asking) finish();
  return true;
}

// The connection is open.
export const opened = () => goOn(ask('opened'));

// An event came: its kind, its id, and the event as JSON.
export const told = (kind, id, data) => goOn(ask('told', kind, id, data));

// The library has ended or lost the connection, with this status or code, and leaves the rest to its user.
export const ended = (code) => goOn(ask('ended', code));

// The URL that goes on after the event `id`.
export function after(id) {
  const next = new URL(url);
  if (id !== undefined) next.searchParams.set('last_event_id', id);
  return next.href;
}

// A position in what comes over WebSockets, and the telling of it.
export class Position {
  id;

  // Takes one message: of a topic's channel, or the one event of a ticket. Gives whether a ticket has told its offer.
  async take(text) {
    const message = JSON.parse(text);
    if (message.specversion) return told('offer', message.id, text);
    if (message.gap) {
      this.id = message.gap.first - 1;
      told('gap', String(this.id), JSON.stringify(message.gap));
    }
    for (const update of message.updates ?? []) {
      this.id = Number(update.sequence);
      told('update', String(this.id), JSON.stringify(update));
    }
    return false;
  }
}
