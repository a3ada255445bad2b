// The libraries for pages, in a browser: the first argument is the URL, the second the library.

import { readFile } from 'node:fs/promises';

import { newPage, withBrowser } from '../browser/lib.mjs';
import { KINDS, ended, opened, told, url } from './told.mjs';

const LIBRARIES = {
  'event-source-polyfill': ['src/eventsource.js', 'EventSourcePolyfill'],
  'reconnecting-eventsource': ['dist/ReconnectingEventSource.min.js', 'ReconnectingEventSource'],
};
const [file, name] = LIBRARIES[process.argv[3]];
const text = await readFile(new URL(`node_modules/${process.argv[3]}/${file}`, import.meta.url), 'utf8');

await withBrowser(async (browser) => {
  const page = await newPage(browser);
  await page.goto(new URL('/icon.svg', url).href);
  for (const [name, tell] of Object.entries({ opened, told, ended })) await page.exposeFunction(name, tell);
  // reconnecting-eventsource has no end: it comes back after every answer, 204 too, until its page closes it. So
  // that it has come back to a finished ticket twice, and was told nothing, is as far as this can be followed.
  let finished = 0;
  page.on('response', (response) => {
    if (response.status() === 204 && (finished += 1) === 2) ended(204);
  });
  await page.evaluate(text);
  await page.evaluate(([url, name, kinds]) => {
    let last;
    function follow() {
      const next = new URL(url);
      if (last) next.searchParams.set('last_event_id', last);
      const source = new globalThis[name](next.href);
      source.onopen = () => opened();
      for (const kind of kinds) {
        source.addEventListener(kind, ({ lastEventId, data }) => {
          last = lastEventId;
          told(kind, lastEventId, data);
        });
      }
      // The polyfill keeps to the standard: it gives up when the answer is no stream.
      source.onerror = async ({ status }) => {
        if (source.readyState === 2 && (await ended(status))) setTimeout(follow, 500);
      };
    }
    follow();
  }, [url, name, KINDS]);
  await new Promise(() => {});
});
