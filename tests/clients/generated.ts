// Uses an edge by `openapi-fetch` and the types that `openapi-typescript` makes of openapi.yaml. `tsc --strict` must
// have nothing against it.

import createClient from 'openapi-fetch';
import type { components, paths } from 'schema';

import { ask, finish } from '../ask.mjs';
import { signature } from './signed.mjs';
import { topic, url } from './told.mjs';

const edge = createClient<paths>({ baseUrl: url });
edge.use({
  async onRequest({ request }) {
    if (request.method !== 'POST') return;
    const signed: Record<string, string> = signature(new URL(request.url).pathname, await request.clone().text());
    for (const [name, value] of Object.entries(signed)) request.headers.set(name, value);
  },
});

const ping = await edge.GET('/ping');
await ask('ping', ping.response.status, (ping.data?.time ?? 0) > 0);
const health = await edge.GET('/healthz');
await ask('health', health.response.status, health.data?.status);

const login = await edge.POST('/login', { body: { user: '40228', attributes: { max_items: 3 } } });
if (!login.data) throw new Error(login.error.detail);
const { ticket } = login.data;
await ask('login', login.response.status, ticket);
const offer = await edge.GET('/tickets/{ticket}', { params: { path: { ticket } } });
await ask('offer', offer.response.status, offer.data);
const unknown = await edge.GET('/tickets/{ticket}', { params: { path: { ticket: 'unknown' } } });
await ask('unknown', unknown.response.status, unknown.error?.type);

const update: components['schemas']['Event'] = {
  specversion: '1.0', id: 'a', source: '/generated', type: 'dev.headstart.update', subject: topic, data: { home: 71 },
};
const published = await edge.POST('/events', {
  body: update,
  headers: { 'content-type': 'application/cloudevents+json' },
});
await ask('published', published.response.status, published.data?.results[0]?.status);
const latest = await edge.GET('/topics/{topic}', { params: { path: { topic } } });
const read = latest.data && 'sequence' in latest.data ? [latest.data.sequence, latest.data.data] : [];
await ask('latest', latest.response.status, ...read);
const since = await edge.GET('/topics/{topic}', { params: { path: { topic }, query: { since: 0 } } });
const updates = since.data && 'updates' in since.data ? since.data.updates : [];
await ask('since', since.response.status, updates.map(({ sequence }) => sequence));
const subscribers = await edge.GET('/topics/{topic}/subscribers', { params: { path: { topic } } });
await ask('subscribers', subscribers.response.status, subscribers.data?.subscribers.length);
finish();
