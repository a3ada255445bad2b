// Which of several edges is nearest.

import { ask, line } from './line.js';

export async function nearest(urls, { samples = 3, timeout = 3000 } = {}) {
  const all = await Promise.all(urls.map(async (url) => ({ url, ms: await roundTrip(url, samples, timeout) })));
  all.sort((a, b) => (a.ms === b.ms ? 0 : a.ms - b.ms));
  return { ...all[0], all };
}

// The shortest of a few: what makes one longer is never the way.
async function roundTrip(url, samples, timeout) {
  let shortest = Infinity;
  try {
    // The first one opens the connection.
    for (let n = 0; n <= samples; n++) {
      const begun = performance.now();
      await line(undefined, timeout, (signal) => ask(url + '/ping', { signal, cache: 'no-store' }));
      if (n) shortest = Math.min(shortest, performance.now() - begun);
    }
    return shortest;
  } catch {
    return Infinity;
  }
}
