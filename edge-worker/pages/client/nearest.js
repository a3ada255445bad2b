// Which of several edges is nearest.

import { ask, line } from './line.js';

/** @type {typeof import('./headstart.d.ts').nearest} */
export async function nearest(urls, { samples = 3, timeout = 3000 } = {}) {
  const all = await Promise.all(
    urls.map(async (url) => {
      // The shortest of a few: what makes one longer is never the way.
      let ms = Infinity;
      try {
        // The first one opens the connection.
        for (let n = 0; n <= samples; n++) {
          const begun = performance.now();
          await line(null, (signal) => ask(url + '/ping', { signal }), timeout);
          if (n) ms = Math.min(ms, performance.now() - begun);
        }
      } catch {
        // It cannot be reached, or not always: then what was measured counts.
      }
      return { url, ms };
    }),
  );
  all.sort((a, b) => a.ms - b.ms);
  return { ...all[0], all };
}
