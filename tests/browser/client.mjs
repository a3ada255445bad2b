// What the browser's client promises, in a real browser against a real edge.

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';

import { ask, newPage, proxy, screenshot, until, withBrowser, within } from './lib.mjs';

const EXAMPLES = new URL('../../docs/examples/', import.meta.url);

// What a browser says of a connection that could not be opened, or broke.
const BROKEN =
  /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE_CHUNKED_ENCODING|WebSocket connection to/;

let fresh = 0;
const freshTopic = (prefix = 'test') => `${prefix}/client-${(fresh += 1)}`;
const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, n) => from + n);
const publish = (topic, from, to) => ask('publish', topic, numbers(from, to));

function same(got, expected, what) {
  const [a, b] = [got, expected].map((value) => JSON.stringify(value));
  if (a !== b) throw new Error(`${what}: got ${a}, expected ${b}`);
}

// A page of the edge at `url` on which nothing happens, under the edge's own policy, with its client and a
// helper to follow topics that keeps what was told.
async function edgePage(browser, url) {
  const page = await newPage(browser);
  await page.goto(`${url}/icon.svg`);
  await page.evaluate(async () => {
    globalThis.client = await import('/headstart.js');
    globalThis.follow = (topics, options, token) => {
      const told = { updates: [], gaps: [], states: [], welcomes: 0 };
      const sub = client.connect(undefined, { token }).subscribe(topics, {
        ...options,
        onUpdate: ({ topic, sequence, data }) => told.updates.push([topic, sequence, data]),
        onGap: (gap) => told.gaps.push(gap),
        onState: (state, { error }) => told.states.push(error ? `${state}: ${error.message}` : state),
        onWelcome: () => (told.welcomes += 1),
      });
      return (globalThis.following = { sub, told });
    };
  });
  return page;
}

const told = (page) => page.evaluate(() => globalThis.following.told);
const welcomed = (page, times = 1) => until('a welcome', async () => (await told(page)).welcomes >= times);
async function has(page, count) {
  const come = async () => (await told(page)).updates.length >= count;
  await until(`${count} updates`, come).catch(async ({ message }) => {
    throw new Error(`${message}; told was ${JSON.stringify(await told(page))}`);
  });
}
const sequences = async (page, topic) =>
  (await told(page)).updates.filter((update) => update[0] === topic).map((update) => update[1]);

async function offersComeByEveryTransport(browser, { url }) {
  const page = await edgePage(browser, url);
  const offers = await page.evaluate(async () => {
    const edge = client.connect();
    const { ticket } = await edge.login('40228', { attributes: { max_items: 3 } });
    const ways = ['sse', 'ws', 'wait', 'poll'];
    return Promise.all(ways.map((way) => edge.offer(ticket, { transports: [way] })));
  });
  same(
    offers.map(({ via }) => via),
    ['sse', 'ws', 'wait', 'poll'],
    'the ways',
  );
  for (const offer of offers) {
    same(offer.content, offers[0].content, `the offer by ${offer.via}`);
    same(offer.content.items.length, 3, 'its items');
    same(offer.eventId, offers[0].eventId, 'its event');
    same(offer.mediaType, 'application/json', 'its media type');
    const { loginat, startedat, generatedat, publishedat, receivedat, deliveredat } = offer.stamps;
    if (!(loginat <= receivedat && receivedat <= deliveredat)) throw new Error('the edge took other stamps');
    if (!(startedat <= generatedat && generatedat <= publishedat)) throw new Error('the origin took other stamps');
  }
  page.quiet();
}

async function aRefusalIsAnError(browser, { url }) {
  const page = await edgePage(browser, url);
  const told = await page.evaluate(async () => {
    const edge = client.connect();
    const refused = async (offer) => {
      const error = await offer.catch((error) => error);
      return [error instanceof client.ProblemError, error.type, error.status, error.message === error.detail];
    };
    const { ticket } = await edge.login('40228', { attributes: { max_items: 'many' } });
    const abort = new AbortController();
    const aborted = edge.offer('unknown', { signal: abort.signal }).catch((error) => error === 'enough');
    abort.abort('enough');
    return [await refused(edge.offer('unknown')), await refused(edge.offer(ticket)), await aborted];
  });
  same(told[0], [true, 'urn:headstart:unknown-ticket', 404, true], 'an unknown ticket');
  same(told[1], [true, 'urn:headstart:generation-failed', 502, true], 'a failed generation');
  same(told[2], true, 'an aborted wait');
  page.quiet(/status of 404/);
}

async function blockedTransportsAreGoneAround(browser, { url }) {
  const refuse = /^GET (\S*\/events|\/topics\?)|upgrade: websocket/i;
  const page = await edgePage(browser, await proxy(url, { refuse }));
  const tried = await page.evaluate(async () => {
    const edge = client.connect();
    const tried = [];
    for (let n = 0; n < 3; n += 1) {
      const { ticket } = await edge.login('40143');
      const onTransport = (transport) => tried.push(transport);
      const { via } = await edge.offer(ticket, { onTransport });
      tried.push(via + '!');
    }
    return tried;
  });
  const round = ['sse', 'ws', 'wait', 'wait!'];
  same(tried, [...round, ...round, 'wait', 'wait!'], 'the transports');
  const topic = freshTopic();
  await publish(topic, 1, 2);
  await page.evaluate((topic) => void follow(topic, { latest: true }), topic);
  await welcomed(page);
  same(await page.evaluate(() => following.sub.transport), 'poll', 'the transport');
  await publish(topic, 3, 12);
  await has(page, 11);
  same(await sequences(page, topic), numbers(2, 12), 'the updates');
  page.quiet(BROKEN);
}

async function nothingIsLostOrDoubledOverARestart(browser, { url }) {
  const topics = [freshTopic(), freshTopic()];
  for (const topic of topics) await publish(topic, 1, 3);
  const pages = await Promise.all(
    ['ws', 'sse', 'poll'].map(async (transport) => {
      const page = await edgePage(browser, url);
      const follow = ([topics, transports]) =>
        void globalThis.follow(topics, { transports, cursor: topics[0] + '=0', latest: true });
      await page.evaluate(follow, [topics, [transport]]);
      await has(page, 4);
      return page;
    }),
  );
  for (const topic of topics) await publish(topic, 4, 6);
  const shop = await edgePage(browser, url);
  await ask('kill');
  // Published while the edge is away: it is sent when it is there.
  const login = shop.evaluate(async () => {
    const edge = client.connect();
    const { ticket } = await edge.login('40155');
    return (await edge.offer(ticket)).content.items.length > 0;
  });
  await until('a broken connection', async () =>
    (await told(pages[0])).states.some((state) => state.startsWith('waiting')),
  );
  await ask('start');
  for (const topic of topics) await publish(topic, 7, 9);
  same(await login, true, 'the offer of a login while the edge was away');
  for (const page of pages) {
    await has(page, 16);
    same(await sequences(page, topics[0]), numbers(1, 9), 'the updates from the cursor');
    same(await sequences(page, topics[1]), numbers(3, 9), 'the updates from the latest');
    same(await page.evaluate(() => following.sub.cursor), topics.map((topic) => topic + '=9').join(), 'the cursor');
    same((await told(page)).gaps, [], 'the gaps');
    await page.evaluate(() => following.sub.close());
    same((await told(page)).states.at(-1), 'closed', 'the last state');
    page.quiet(BROKEN);
  }
  shop.quiet(BROKEN);
}

async function aGapIsTold(browser, { url, history }) {
  const topic = freshTopic();
  await publish(topic, 1, history + 5);
  for (const transport of ['ws', 'sse', 'poll']) {
    const page = await edgePage(browser, url);
    await page.evaluate(
      ([topic, transport]) => void follow(topic, { transports: [transport], cursor: topic + '=2' }),
      [topic, transport],
    );
    await has(page, history);
    same(
      (await told(page)).gaps.map(({ after, first }) => [after, first]),
      [[2, 6]],
      `the gap by ${transport}`,
    );
    same(await sequences(page, topic), numbers(6, history + 5), `what is left, by ${transport}`);
    page.quiet();
  }
}

async function tokensAreRefreshed(browser, { url }) {
  const topic = freshTopic('private');
  await Promise.all(
    ['ws', 'sse', 'poll'].map(async (transport) => {
      const page = await edgePage(browser, url);
      let asked = 0;
      await page.exposeFunction('token', () => {
        asked += 1;
        return ask('token', topic, asked > 1 ? 3600 : 3);
      });
      await page.evaluate(
        ([topic, transport]) => void follow(topic, { transports: [transport], cursor: topic + '=0' }, token),
        [topic, transport],
      );
      await until('another token', () => asked > 1);
      await publish(topic, 1, 1);
      await until('the update', async () => (await told(page)).updates.length > 0);
      const { updates, states } = await told(page);
      same(new Set(updates.map((update) => update[1])).size, updates.length, 'the updates');
      if (states.some((state) => state.startsWith('closed'))) throw new Error(states.join());
      page.quiet(/status of 40[14]/);
    }),
  );
  const page = await edgePage(browser, url);
  await page.evaluate((topic) => void follow(topic, { transports: ['sse'] }, 'none'), topic);
  const refusal = await until('the end', async () =>
    (await told(page)).states.find((state) => state.startsWith('closed')),
  );
  if (!/token/.test(refusal)) throw new Error(refusal);
  page.quiet(/status of 401/);
}

async function publishesWithAToken(browser, { url }) {
  const topic = freshTopic();
  const page = await edgePage(browser, url);
  const token = await ask('token', topic, 3600);
  const results = await page.evaluate(
    async ([topic, token]) => {
      const { sub } = follow(topic, {}, token);
      const first = await sub.publish({ data: { home: 1 }, id: 'one' });
      const again = await sub.publish({ data: { home: 1 }, id: 'one' });
      const stranger = client.connect().subscribe(topic);
      const refused = await stranger.publish({ data: 2 });
      const unsendable = client.connect().subscribe(topic, { transports: ['sse'] });
      const error = await unsendable.publish({ data: 3 }).catch((error) => error.type);
      return [first.status, again.status, refused.status, error];
    },
    [topic, token],
  );
  same(results, ['accepted', 'duplicate', 'rejected', 'urn:headstart:upgrade-required'], 'the results');
  await has(page, 1);
  same((await told(page)).updates, [[topic, 1, { home: 1 }]], 'the update');
  page.quiet();
}

async function acksShowWhoIsThere(browser, { url }) {
  const topic = freshTopic();
  const pages = [];
  for (const transport of ['ws', 'sse']) {
    const page = await edgePage(browser, url);
    const options = { transports: [transport], ack: true, place: { latitude: -33.9, longitude: 151.2 } };
    await page.evaluate(([topic, options]) => void follow(topic, options), [topic, options]);
    await welcomed(page);
    pages.push(page);
  }
  await publish(topic, 1, 3);
  const subscribers = await until('their round trips', async () => {
    const answer = await fetch(`${url}/topics/${topic}/subscribers`);
    const { subscribers } = await answer.json();
    return (
      subscribers.length === 2 && subscribers.every(({ roundtrip, place }) => roundtrip && place.shared) && subscribers
    );
  });
  same(subscribers.map(({ transport }) => transport).sort(), ['sse', 'ws'], 'who is there');
  if (!((await until('a round trip', () => pages[0].evaluate(() => following.sub.roundTrip))) > 0))
    throw new Error('no time');
  for (const page of pages) page.quiet();
}

async function pausesWhileHiddenOrOffline(browser, { url }) {
  const topic = freshTopic();
  const page = await edgePage(browser, url);
  await page.evaluate((topic) => void follow(topic, { pauseAfter: 50 }), topic);
  await welcomed(page);
  const hide = (hidden) =>
    page.evaluate((hidden) => {
      Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
      document.dispatchEvent(new Event('visibilitychange', { bubbles: true }));
    }, hidden);
  const isIn = (state) => until(state, async () => (await told(page)).states.at(-1) === state);
  await hide(true);
  await isIn('paused');
  await publish(topic, 1, 2);
  await hide(false);
  await has(page, 2);
  await page.context().setOffline(true);
  await isIn('paused');
  await publish(topic, 3, 4);
  await page.context().setOffline(false);
  await has(page, 4);
  same(await sequences(page, topic), numbers(1, 4), 'the updates');
  page.quiet();
}

async function aForeignPageUsesTheExampleAsItIs(browser, { url, foreign }) {
  const page = await newPage(browser);
  await ask('publish', 'scores/nba', [{ home: 71, away: 68 }]);
  await page.goto(`${foreign}/shop.html?edge=${url}`);
  await page.getByText('71').waitFor();
  await page.getByRole('button').click();
  await page.getByText('It came by').waitFor();
  const items = await page.locator('#offer li').count();
  if (items === 0) throw new Error('the offer is empty');
  await ask('publish', 'scores/nba', [{ home: 73, away: 68 }]);
  await page.getByText('73').waitFor();
  await screenshot(page, 'example');
  page.quiet();
}

async function aPageThatIsNotListedIsToldWhatMayBeWrong(browser, { url }) {
  const page = await newPage(browser);
  await page.goto(`${await foreignOrigin()}/shop.html?edge=${url}`);
  const error = await page.evaluate(async (url) => {
    const { connect } = await import(url + '/headstart.js');
    return new Promise((resolve) => {
      const onState = (state, { error }) => state === 'waiting' && resolve([error.name, error.message]);
      connect().subscribe('scores/nba', { transports: ['sse'], onState });
    });
  }, url);
  same(error, ['TypeError', 'Failed to fetch, or CORS_ORIGINS of the edge does not name this page'], 'the error');
  page.quiet(/blocked by CORS policy|ERR_FAILED/);
}

async function aListedPageUsesTheCookie(browser, { url, foreign }) {
  const topic = freshTopic('private');
  const token = await ask('token', topic, 3600);
  await publish(topic, 1, 1);
  for (const transport of ['ws', 'sse', 'poll']) {
    const page = await newPage(browser);
    await page
      .context()
      .addCookies([{ name: 'headstart_token', value: token, url, httpOnly: true, sameSite: 'Strict' }]);
    await page.goto(`${foreign}/shop.html?edge=${url}`);
    const told = await page.evaluate(
      async ([url, topic, transport]) => {
        const { connect } = await import(url + '/headstart.js');
        const first = (credentials) =>
          new Promise((resolve) => {
            const subscription = connect(url, { credentials }).subscribe(topic, {
              transports: [transport],
              cursor: topic + '=0',
              ack: true,
              onUpdate: ({ data }) => resolve(data),
              onState: (state, { error }) => state === 'closed' && resolve(error.type),
            });
            globalThis.subscriptions = [...(globalThis.subscriptions ?? []), subscription];
          });
        return [await first('include'), await first()];
      },
      [url, topic, transport],
    );
    // A WebSocket carries it whatever is asked.
    same(told, [1, transport === 'ws' ? 1 : 'urn:headstart:token-required'], transport);
    if (transport === 'sse') {
      const acked = async () => {
        const answer = await fetch(`${url}/topics/${topic}/subscribers`, {
          headers: { authorization: `Bearer ${token}` },
        });
        return (await answer.json()).subscribers.some(({ transport, roundtrip }) => transport === 'sse' && roundtrip);
      };
      await until('its ack', acked);
    }
    page.quiet(/status of 401/);
    await page.context().close();
  }
}

async function theNearestEdgeIsPicked(browser, { url, foreign }) {
  const page = await newPage(browser);
  await page.goto(`${foreign}/shop.html?edge=${url}`);
  const far = await proxy(url, { delay: 60 });
  const gone = 'http://127.0.0.1:9';
  const nearest = await page.evaluate(
    async ([url, ...others]) => {
      const { nearest } = await import(url + '/headstart.js');
      const found = await nearest([...others, url]);
      return { ...found, all: found.all.map(({ url, ms }) => [url, ms === Infinity ? 'never' : ms]) };
    },
    [url, far, gone],
  );
  same(nearest.url, url, 'the nearest');
  same(
    nearest.all.map(([url]) => url),
    [url, far, gone],
    'their order',
  );
  if (!(nearest.ms < nearest.all[1][1] && nearest.all[1][1] >= 60)) throw new Error(JSON.stringify(nearest));
  same(nearest.all[2][1], 'never', 'the unreachable one');
  page.quiet(/ERR_UNSAFE_PORT|ERR_CONNECTION_REFUSED/);
}

// With nobody left who generates.
async function aQuietStreamIsNotGivenUp(browser, { url }) {
  await ask('retire');
  const page = await edgePage(browser, url);
  const tried = await page.evaluate(async () => {
    const edge = client.connect();
    const { ticket } = await edge.login('40228');
    const tried = [];
    const signal = AbortSignal.timeout(10_000);
    const error = await edge.offer(ticket, { onTransport: (via) => tried.push(via), signal }).catch(({ name }) => name);
    return [...tried, error];
  });
  same(tried, ['sse', 'TimeoutError'], 'what was tried');
  page.quiet();
}

// The origin of pages that are not the edge's.
async function foreignOrigin() {
  const server = createServer(async (request, response) => {
    const name = new URL(request.url, 'http://any').pathname.slice(1);
    const body = await readFile(new URL(name, EXAMPLES)).catch(() => undefined);
    response.writeHead(body ? 200 : 404, { 'content-type': 'text/html' }).end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${server.address().port}`;
}

const foreign = await foreignOrigin();
const history = 20;
const url = await ask('edge', foreign, history);

// Of the promises, those whose names hold this; all of them without it.
const chosen = process.env.HEADSTART_BROWSER_TEST ?? '';

await withBrowser(async (browser) => {
  for (const promise of [
    offersComeByEveryTransport,
    aRefusalIsAnError,
    blockedTransportsAreGoneAround,
    aGapIsTold,
    tokensAreRefreshed,
    publishesWithAToken,
    acksShowWhoIsThere,
    pausesWhileHiddenOrOffline,
    aForeignPageUsesTheExampleAsItIs,
    aPageThatIsNotListedIsToldWhatMayBeWrong,
    aListedPageUsesTheCookie,
    theNearestEdgeIsPicked,
    nothingIsLostOrDoubledOverARestart,
    aQuietStreamIsNotGivenUp,
  ]) {
    if (!promise.name.includes(chosen)) continue;
    const began = Date.now();
    await within(promise.name, promise(browser, { url, foreign, history }));
    console.log(`${promise.name}: ${Date.now() - began} ms`);
    for (const context of browser.contexts()) await context.close();
  }
});
