import { EventSource } from 'eventsource';

import { KINDS, PAUSE_MS, after, ended, opened, told } from './told.mjs';

let last;

function follow() {
  const source = new EventSource(after(last));
  source.addEventListener('open', opened);
  for (const kind of KINDS) {
    source.addEventListener(kind, ({ lastEventId, data }) => {
      last = lastEventId;
      told(kind, lastEventId, data);
    });
  }
  // By the standard, an EventSource comes back by itself when its connection breaks, and gives up when the answer
  // is anything but a stream: a proxy's 502, for one.
  source.addEventListener('error', async ({ code }) => {
    if (source.readyState === EventSource.CLOSED && (await ended(code))) setTimeout(follow, PAUSE_MS);
  });
}

follow();
