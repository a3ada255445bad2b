// What the scripts of this folder have in common: a browser whose pages must not complain, questions to
// the test that runs them, and proxies that are in the way.

import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

export { ask } from '../ask.mjs';

const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const SCREENSHOTS = fileURLToPath(new URL('../../target/screenshots', import.meta.url));

// Runs `use(browser)`, and ends the browser and this process. Of what fails, it shows the pages too.
export async function withBrowser(use) {
  const browser = await chromium.launch({ executablePath: process.env.HEADSTART_CHROMIUM, args: ARGUMENTS });
  try {
    await use(browser);
  } catch (error) {
    for (const page of browser.contexts().flatMap((context) => context.pages())) {
      console.log(`${page.url()} says: ${complaints.get(page)?.join('\n')}`);
    }
    throw error;
  } finally {
    await browser.close();
  }
  process.exit();
}

// What pages have complained of.
const complaints = new WeakMap();

// A page, in a context of its own. `page.quiet()` fails where it said anything on its console that is an
// error and none of `expected`; a violation of its policy is one.
export async function newPage(browser, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const said = [];
  complaints.set(page, said);
  page.on('console', (message) => {
    const { url } = message.location();
    // A page that is only an image cannot name an icon.
    if (message.type() === 'error' && !url.endsWith('/favicon.ico')) said.push(`${message.text()} (${url})`);
  });
  page.on('pageerror', (error) => said.push(String(error)));
  page.quiet = (expected = /^$/) => {
    const unexpected = said.filter((complaint) => !expected.test(complaint));
    if (unexpected.length) throw new Error(`${page.url()} complains:\n${unexpected.join('\n')}`);
  };
  return page;
}

// A picture of a page, for whoever looks at what a test saw.
export async function screenshot(page, name) {
  const folder = process.env.HEADSTART_SCREENSHOTS ?? SCREENSHOTS;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
}

// A proxy before `url`: what comes back comes `delay` ms later, and a request that `refuse` matches ends
// its connection. Gives its URL.
export async function proxy(url, { delay = 0, refuse = /^$/ } = {}) {
  const { hostname, port } = new URL(url);
  const server = createServer((client) => {
    const edge = createConnection({ host: hostname, port: Number(port) });
    const end = () => {
      client.destroy();
      edge.destroy();
    };
    client.on('data', (bytes) => (refuse.test(bytes.toString('latin1')) ? end() : edge.write(bytes)));
    edge.on('data', (bytes) => setTimeout(() => client.write(bytes), delay));
    for (const socket of [client, edge]) socket.on('error', end).on('close', end);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${server.address().port}`;
}

// How long anything may take, and several things together: far above what they take on an idle machine.
const PATIENCE_MS = 40_000;
const LONG_PATIENCE_MS = 100_000;

// Waits for `promise`.
export async function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), LONG_PATIENCE_MS);
  });
  await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// Waits until `probe` gives something.
export async function until(what, probe) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const got = await probe();
    if (got) return got;
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
