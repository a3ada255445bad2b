// What a listed page of another origin may do with credentials, in a real browser against a real edge.

import { once } from 'node:events';
import { createServer } from 'node:http';

import { ask, newPage, until, withBrowser, within } from './lib.mjs';

const TOPIC = 'private/cors';

// Sends requests that a browser asks leave for first, each with credentials; gives their statuses.
const preflighted = (page, edge, token) =>
  page.evaluate(
    async ([edge, topic, token]) => {
      const send = async (path, options) => {
        const answer = await fetch(edge + path, { credentials: 'include', ...options }).catch(String);
        return answer.status ?? answer;
      };
      const json = { 'content-type': 'application/json' };
      const authorization = `Bearer ${token}`;
      return {
        login: await send('/login', { method: 'POST', headers: json, body: JSON.stringify({ user: '40228' }) }),
        authorization: await send(topic, { headers: { authorization } }),
        condition: await send(topic, { headers: { authorization, 'if-none-match': '"1"' } }),
        preference: await send(topic, { headers: { authorization, prefer: 'wait=1', 'if-none-match': '"0"' } }),
        tracing: await send('/ping', {
          headers: { traceparent: 'x', tracestate: 'x', baggage: 'x', 'sentry-trace': 'x' },
        }),
        resumed: await send(topic + '/events', { headers: { authorization, 'last-event-id': 'none' } }),
      };
    },
    [edge, `/topics/${TOPIC}`, token],
  );

// Follows the topic with nothing but the cookie, and acks its update by a request and by a beacon.
const acked = (page, edge) =>
  page.evaluate(
    async ([edge, topic]) => {
      const read = await fetch(edge + topic, { credentials: 'include' });
      const source = new EventSource(`${edge}${topic}/events?latest=1`, { withCredentials: true });
      const told = (name) => new Promise((resolve) => source.addEventListener(name, resolve, { once: true }));
      const [welcome, update] = await Promise.all([told('welcome'), told('update')]);
      const ack = JSON.stringify({
        subscriber: JSON.parse(welcome.data).subscriber,
        sequence: Number(update.lastEventId),
      });
      const body = new Blob([ack], { type: 'application/json' });
      const answer = await fetch(`${edge}${topic}/acks`, { method: 'POST', credentials: 'include', body });
      const place = { latitude: -33.9, longitude: 151.2 };
      const beacon = new Blob([JSON.stringify({ ...JSON.parse(ack), place })], { type: 'application/json' });
      return [read.status, answer.status, navigator.sendBeacon(`${edge}${topic}/acks`, beacon)];
    },
    [edge, `/topics/${TOPIC}`],
  );

const server = createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end());
server.listen(0, 'localhost');
await once(server, 'listening');
const shop = `http://localhost:${server.address().port}`;
// Another origin and the same site, so that the browser sends the cookie.
const edge = (await ask('edge', shop)).replace('127.0.0.1', 'localhost');
await ask('publish', TOPIC, { home: 71 });
const token = await ask('token', TOPIC);

await withBrowser((browser) =>
  within(
    'what a listed page may do',
    (async () => {
      const page = await newPage(browser);
      await page.goto(shop);
      const statuses = JSON.stringify(await preflighted(page, edge, token));
      const expected = { login: 202, authorization: 200, condition: 304, preference: 200, tracing: 200, resumed: 400 };
      if (statuses !== JSON.stringify(expected)) throw new Error(statuses);

      await page
        .context()
        .addCookies([{ name: 'headstart_token', value: token, url: edge, httpOnly: true, sameSite: 'Strict' }]);
      const results = JSON.stringify(await acked(page, edge));
      if (results !== '[200,204,true]') throw new Error(results);
      await until('the beacon', async () => {
        const answer = await fetch(`${edge}/topics/${TOPIC}/subscribers`, {
          headers: { authorization: `Bearer ${token}` },
        });
        const [subscriber] = (await answer.json()).subscribers;
        return subscriber?.roundtrip && subscriber.place.shared;
      });
      page.quiet(/status of 400/);
    })(),
  ),
);
