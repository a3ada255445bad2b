// What the live page promises, in a real browser against a real edge. Arguments: the promise, the edge's
// URL, and a topic that nobody else uses.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

import { ask, newPage, screenshot, until, withBrowser } from './lib.mjs';

const [promise, edge, topic] = process.argv.slice(2);

const MUNICH = { latitude: 48.1372, longitude: 11.5755 };
const SYDNEY = { latitude: -33.8688, longitude: 151.2093 };
const DESK = { width: 1366, height: 900 };
const PHONE = { width: 375, height: 812 };

// How long anything may take: far above what it takes on an idle machine.
const PATIENCE_MS = 60_000;

const CONNECTED = /^Connected over /;

// What a browser says of a connection that could not be opened, or broke.
const BROKEN =
  /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_INTERNET_DISCONNECTED|WebSocket connection to/;

/** Opens the page. */
async function visit(browser, options = {}) {
  const page = await newPage(browser, { viewport: DESK, ...options });
  page.setDefaultTimeout(PATIENCE_MS);
  await page.goto(`${edge}/live?topic=${topic}`);
  return page;
}

/** Opens the page, and waits until it is connected. */
async function open(browser, options = {}) {
  const page = await visit(browser, { permissions: ['geolocation'], ...options });
  await connected(page);
  return page;
}

/** Publishes updates as an origin does, each with these attributes. */
const publish = (...updates) => ask('publish', topic, updates);

async function connected(page, how = CONNECTED) {
  await page.locator('#status.open', { hasText: how }).waitFor();
}

function item(page, sequence) {
  return page.locator('#feed > li', { has: page.getByText(`#${sequence}`, { exact: true }) });
}

/** The numbers of the updates in the feed, oldest first. */
async function sequences(page) {
  const texts = await page.locator('#feed .head span.number').allTextContents();
  return texts.map((text) => Number(text.slice(1))).reverse();
}

async function feedHas(page, count) {
  await page.waitForFunction((count) => document.querySelectorAll('#feed .head').length >= count, count);
}

async function figure(page, id) {
  return page.locator(`#count-${id}`).textContent();
}

async function logHas(page, text) {
  await page.locator('#log li', { hasText: text }).first().waitFor();
}

async function useToken(page, text) {
  await page.getByLabel('Token', { exact: true }).fill(text);
  await page.getByRole('button', { name: 'Use it' }).click();
}

const upTo = (count) => Array.from({ length: count }, (_, index) => index + 1);

const promises = {
  /** Two browsers see each other, with their places and round trips, and an update with its hops. */
  async together(browser) {
    const one = await open(browser, { geolocation: MUNICH });
    const two = await open(browser, { geolocation: SYDNEY });
    for (const page of [one, two]) {
      await page.getByRole('button', { name: 'Share my place' }).click();
      await page.getByRole('button', { name: 'Stop sharing my place' }).waitFor();
      await connected(page);
    }
    await publish({ data: { home: 71, away: 68 } });
    for (const page of [one, two]) {
      await page.locator('#clients tr').nth(1).waitFor();
      for (const place of ['48.1° N, 11.6° E (shared)', '33.9° S, 151.2° E (shared)']) {
        const row = page.locator('#clients tr', { hasText: place });
        await row.locator('td', { hasText: /^\d+ ms$/ }).waitFor();
      }
      await page.locator('#map .mark').nth(1).waitFor();
      await page.locator('#map .mark.own text', { hasText: /^you \d+ ms$/ }).waitFor();
      await page.locator('#map .mark:not(.own) text', { hasText: /^\d+ ms$/ }).waitFor();
      assert.equal(await page.locator('#clients tr.own').count(), 1);
      assert.equal(await figure(page, 'clients'), '2');
      const hops = await item(page, 1).locator('.hops li').allTextContents();
      assert.equal(hops.length, 4, hops.join());
      for (const [index, hop] of [
        /^to the edge -?\d+ ms clocks differ$/,
        /^in the edge \d+ ms$/,
        /^to this browser -?\d+ ms clocks differ$/,
        /^in all -?\d+ ms clocks differ$/,
      ].entries()) {
        assert.match(hops[index], hop);
      }
    }
    // A page that has just come back stands for a moment where the edge guesses it to be.
    const marks = (page) =>
      page.evaluate(() => {
        const at = (mark) =>
          [...document.querySelectorAll(`#map ${mark} circle`)].map((circle) => Number(circle.getAttribute('cx')));
        return { own: at('.mark.own'), others: at('.mark:not(.own)') };
      });
    const alone = ({ own, others }) => own.length === 1 && others.length === 1;
    await until('Munich west of Sydney', async () => {
      const at = await marks(one);
      return alone(at) && at.own[0] < at.others[0];
    });
    await until('Sydney east of Munich', async () => {
      const at = await marks(two);
      return alone(at) && at.own[0] > at.others[0];
    });
    // Whoever closes the page leaves the list of the other one.
    await two.close();
    await one.locator('#clients tr').nth(1).waitFor({ state: 'detached' });
    assert.equal(await one.locator('#map .mark').count(), 1);
    one.quiet();
    two.quiet();
  },

  /** What somebody publishes is text, wherever in an update it stands. */
  async hostile(browser) {
    // Without the policy, which would hide what the page lets through; another test has it.
    const page = await open(browser, { bypassCSP: true });
    await page.addInitScript(() => (window.ran = []));
    await page.reload();
    await connected(page);
    const attacks = [
      '<img src=x onerror="ran.push(1)">',
      '</script><script>ran.push(2)</script>',
      '<svg onload="ran.push(3)"><iframe srcdoc="<script>parent.ran.push(4)</script>">',
      '"><a href="javascript:ran.push(5)">x</a><style>*{display:none}</style>',
    ];
    for (const [index, attack] of attacks.entries()) {
      await publish(
        { data: { [attack]: attack }, id: `${attack}-${index}`, source: attack },
        { data: attack, datacontenttype: 'text/html', id: `${attack}-${index}-html`, source: attack },
      );
    }
    await feedHas(page, 2 * attacks.length);
    for (const [index, attack] of attacks.entries()) {
      const shown = item(page, 2 * index + 1);
      assert.equal(await shown.locator('pre').textContent(), JSON.stringify({ [attack]: attack }));
      assert.deepEqual(await shown.locator('bdi').allTextContents(), [`${attack}-${index}`, attack]);
      assert.equal(
        await item(page, 2 * index + 2)
          .locator('pre')
          .textContent(),
        attack,
      );
    }
    assert.equal(await page.locator('main img, main script, main iframe, #feed a, #feed svg, #feed style').count(), 0);
    await page.goto(`${edge}/live?topic=${topic}&topic=${encodeURIComponent(attacks[0])}`);
    await logHas(page, attacks[0]);
    assert.equal(await page.locator('main img').count(), 0);
    assert.deepEqual(await page.evaluate(() => window.ran), []);
    page.quiet();
    // And under it nothing is even tried.
    const strict = await open(browser);
    await feedHas(strict, 1);
    strict.quiet();
  },

  /** Each transport brings every update, also those that come between. */
  async transports(browser) {
    const page = await open(browser);
    let sent = 0;
    for (const [label, status] of [
      ['Server-Sent Events', /over Server-Sent Events/],
      ['Long polling', /over long polling/],
      ['WebSocket', /over WebSocket/],
    ]) {
      await page.getByRole('radio', { name: label }).check();
      await publish({ data: `while ${label} is opened` });
      await connected(page, status);
      await publish({ data: `over ${label}` });
      sent += 2;
      await feedHas(page, sent);
      const row = page.locator('#compare tr', { hasText: new RegExp(label, 'i') });
      await row.locator('td', { hasText: /ms|s$/ }).first().waitFor();
    }
    assert.deepEqual(await sequences(page), upTo(sent));
    assert.deepEqual([await figure(page, 'reconnects'), await figure(page, 'gaps')], ['0', '0']);
    // Only over SSE and WebSocket is the page in the list of clients.
    await page.locator('#clients tr.own', { hasText: 'WebSocket' }).waitFor();
    await page.getByRole('radio', { name: 'Server-Sent Events' }).check();
    await page.locator('#clients tr.own', { hasText: 'Server-Sent Events' }).waitFor();
    page.quiet();
  },

  /** The edge is restarted: the page says so, and has every update. */
  async restart(browser) {
    const page = await open(browser);
    await publish({ data: 1 }, { data: 2 }, { data: 3 });
    await feedHas(page, 3);
    await ask('kill');
    await logHas(page, 'Connection lost');
    await page.locator('#status.waiting, #status.connecting').waitFor();
    await ask('start');
    await publish({ data: 4 }, { data: 5 }, { data: 6 });
    await logHas(page, /Reconnected over WebSocket after/);
    await logHas(page, /Resumed .* after 3:/);
    await feedHas(page, 6);
    assert.deepEqual(await sequences(page), upTo(6));
    await connected(page);
    assert.equal(await page.locator('#feed .gap').count(), 0);
    await page.locator('#count-reconnects', { hasText: /^[1-9]/ }).waitFor();
    // The page is in the list again, so that is followed again, too.
    await page.locator('#clients tr.own').waitFor();
    page.quiet(BROKEN);
  },

  /** An edge that keeps ten updates, of which a page misses thirty. */
  async gap(browser) {
    const page = await open(browser);
    await publish({ data: 1 });
    await feedHas(page, 1);
    await page.context().setOffline(true);
    await logHas(page, 'Paused');
    await publish(...Array.from({ length: 30 }, (_, n) => ({ data: n })));
    await page.context().setOffline(false);
    await feedHas(page, 11);
    await page.locator('#feed .gap', { hasText: `of ${topic}, 2 to 21 are lost (20 updates)` }).waitFor();
    await logHas(page, '2 to 21 are lost');
    assert.deepEqual(await sequences(page), [1, ...Array.from({ length: 10 }, (_, n) => n + 22)]);
    await page.locator('#count-gaps', { hasText: /^1$/ }).waitFor();
    assert.equal(await item(page, 31).locator('.tag').textContent(), 'from history');
    page.quiet(BROKEN);
  },

  /** A token lets the page publish, and stays in its memory. */
  async publish(browser) {
    const requested = [];
    const page = await open(browser);
    page.on('request', (request) => requested.push(request.url()));
    page.on('websocket', (socket) => requested.push(socket.url()));
    const token = await ask('token', topic);
    const button = page.getByRole('button', { name: 'Publish', exact: true });
    const told = page.locator('#publish-told');
    assert.ok(await button.isDisabled());
    await page.locator('#publish-needs', { hasText: 'needs a token' }).waitFor();
    await useToken(page, 'none');
    await page.locator('#token-told', { hasText: 'This is no token' }).waitFor();
    await useToken(page, token);
    await page.locator('#token-told', { hasText: `publish on ${topic}` }).waitFor();
    await connected(page);
    await page.getByLabel('Data, in JSON').fill('{"home":');
    await button.click();
    await page.locator('#publish-told', { hasText: 'This is not JSON' }).waitFor();
    await page.getByLabel('Data, in JSON').fill('{"home": 72}');
    await button.click();
    await page.locator('#publish-told', { hasText: 'accepted' }).waitFor();
    assert.equal(await item(page, 1).locator('pre').textContent(), '{"home":72}');
    // Published and received here: the whole way is by one clock.
    assert.match(await item(page, 1).locator('.whole').textContent(), /^in all \d+ ms$/);
    await page.getByLabel('Data, in JSON').fill(JSON.stringify('x'.repeat(66_000)));
    await button.click();
    await page.locator('#publish-told', { hasText: 'rejected: an update may have 65536 bytes' }).waitFor();

    const kept = await page.evaluate(() => [
      location.href,
      document.cookie,
      JSON.stringify({ ...localStorage }),
      JSON.stringify({ ...sessionStorage }),
      ...[...document.querySelectorAll('input, textarea')].map((field) => field.value),
      document.documentElement.outerHTML,
    ]);
    assert.ok(
      kept.every((text) => !text.includes(token)),
      'the token is in the page',
    );
    assert.ok(requested.length > 0 && requested.every((url) => !url.includes(token)), 'the token is in a URL');

    await page.getByRole('button', { name: 'Forget it' }).click();
    await connected(page);
    assert.ok(await button.isDisabled());
    await told.waitFor();
    // Over another transport it says why not.
    await useToken(page, token);
    await page.getByRole('radio', { name: 'Server-Sent Events' }).check();
    await page.locator('#publish-needs', { hasText: 'the transport WebSocket' }).waitFor();
    assert.ok(await button.isDisabled());
    page.quiet();
  },

  /** A private topic is closed until its token is given: for the updates, and for who is there. */
  async private(browser) {
    await publish({ data: 'secret' });
    const page = await visit(browser);
    await page.locator('#status', { hasText: `${topic} is private` }).waitFor();
    assert.equal(await page.locator('#feed > li').count(), 0);
    await page.locator('#clients-told', { hasText: 'The edge does not tell who is connected' }).waitFor();
    await useToken(page, await ask('token', topic));
    await connected(page);
    await page.locator('#feed pre', { hasText: 'secret' }).waitFor();
    await page.locator('#clients tr.own').waitFor();
    for (const [label, status] of [
      ['Server-Sent Events', /Server-Sent/],
      ['Long polling', /long polling/],
    ]) {
      await page.getByRole('radio', { name: label }).check();
      await connected(page, status);
    }
    page.quiet(/status of 401/);
  },

  /** Whoever sees nothing yet is told how to publish; topics are added and removed, and kept in the address. */
  async topics(browser) {
    const page = await open(browser, { permissions: ['clipboard-read', 'clipboard-write'] });
    const command = page.locator('#publish-command');
    assert.match(await command.textContent(), new RegExp(`publish --edge ${edge} --topic '${topic}'`));
    await page.locator('.copy').first().click();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), await command.textContent());
    const field = page.getByLabel('Another topic');
    await field.fill('no topic');
    await field.press('Enter');
    await page.locator('#topic-problem', { hasText: 'made of' }).waitFor();
    const other = `${topic}/other`;
    await field.fill(other);
    await field.press('Enter');
    await page.waitForURL(`${edge}/live?topic=${topic}&topic=${other}`);
    await connected(page);
    await publish({ data: 'one' });
    await ask('publish', other, [{ data: 'other' }]);
    await feedHas(page, 2);
    assert.ok(await command.isHidden());
    assert.deepEqual((await page.locator('#feed .head b').allTextContents()).sort(), [topic, other]);
    await page.getByRole('button', { name: `Do not follow ${topic}`, exact: true }).click();
    await page.waitForURL(`${edge}/live?topic=${other}`);
    await connected(page);
    await publish({ data: 'no longer followed' });
    await ask('publish', other, [{ data: 'another' }]);
    await feedHas(page, 3);
    assert.deepEqual(await sequences(page), [1, 1, 2]);
    await page.goBack();
    await connected(page);
    // What came meanwhile is not told as missed: it was not followed.
    await logHas(page, `${topic} is at 2.`);
    await publish({ data: 'followed again' });
    await page.locator('#feed pre', { hasText: 'followed again' }).waitFor();
    page.quiet();
  },

  /** The keyboard reaches everything, axe finds nothing serious, and nothing is wider than a phone. */
  async looks(browser) {
    const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
    const pages = [];
    for (const [name, options] of [
      ['light', { colorScheme: 'light', geolocation: MUNICH }],
      ['dark', { colorScheme: 'dark', geolocation: SYDNEY }],
      ['phone', { colorScheme: 'light', viewport: PHONE, geolocation: { latitude: 40.7, longitude: -74 } }],
      ['phone-dark', { colorScheme: 'dark', viewport: PHONE, geolocation: { latitude: -23.5, longitude: -46.6 } }],
    ]) {
      const page = await open(browser, options);
      await screenshot(page, `live-${name}-empty`);
      await page.getByRole('button', { name: 'Share my place' }).click();
      await page.getByRole('button', { name: 'Stop sharing my place' }).waitFor();
      await connected(page);
      pages.push({ name, page });
    }
    await useToken(pages[0].page, await ask('token', topic));
    await connected(pages[0].page);
    for (let n = 0; n < 8; n += 1) {
      await publish({ data: { home: 71 + n, away: 68, long: 'x'.repeat(n * 30) } });
    }
    for (const { name, page } of pages) {
      await feedHas(page, 8);
      await page.locator('#map .mark').nth(3).waitFor();
      await page.locator('#count-trip', { hasText: /ms|s$/ }).waitFor();
      await screenshot(page, `live-${name}`);
      const [wide, width] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(wide <= width, `${name}: ${wide} px of ${width}`);
      // Not as a script of the page: its policy would rightly refuse it.
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => window.axe.run());
      const grave = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
      const told = grave.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
      assert.deepEqual(told, [], name);
      page.quiet();
    }
    const [{ page }] = pages;
    const reached = new Set();
    await page.locator('h1').click();
    for (let n = 0; n < 40; n += 1) {
      await page.keyboard.press('Tab');
      reached.add(
        await page.evaluate(
          () => document.activeElement.id || document.activeElement.className || document.activeElement.value,
        ),
      );
    }
    for (const id of [
      'topic',
      'ws',
      'feed-pause',
      'scroll feed',
      'share',
      'wide scroll',
      'token',
      'token-forget',
      'publish-topic',
      'publish-data',
      'publish-button',
      'scroll log',
    ]) {
      assert.ok(reached.has(id), `${id} is not among ${[...reached].join(', ')}`);
    }
  },

  /** Whoever reads can stop the feed; nothing that comes meanwhile is lost. */
  async pause(browser) {
    const page = await open(browser);
    await publish({ data: 1 });
    await feedHas(page, 1);
    await page.getByRole('button', { name: 'Pause' }).click();
    await publish({ data: 2 }, { data: 3 }, { data: 4 });
    const go = page.getByRole('button', { name: 'Go on (3 new)' });
    await go.waitFor();
    assert.deepEqual(await sequences(page), [1]);
    await go.click();
    assert.deepEqual(await sequences(page), upTo(4));
    page.quiet();
  },
};

await withBrowser((browser) => promises[promise](browser));
