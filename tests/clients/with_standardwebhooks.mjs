// Signs a login and an event by `standardwebhooks`, and changes a login after it was signed.

import { ask, finish } from '../ask.mjs';
import { post } from './signed.mjs';

const [edge, topic] = process.argv.slice(2);
const json = { 'content-type': 'application/json' };
const login = JSON.stringify({ user: '40228', attributes: { name: 'Zoë' } });
const event = JSON.stringify({
  specversion: '1.0', id: 'a', source: '/standardwebhooks', type: 'dev.headstart.update', subject: topic, data: 'signed',
});

await ask('login', ...(await post(`${edge}/login`, json, login)));
await ask('changed', ...(await post(`${edge}/login`, json, login, login.replace('40228', '40229'))));
await ask('event', ...(await post(`${edge}/events`, { 'content-type': 'application/cloudevents+json' }, event)));
finish();
