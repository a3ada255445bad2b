// Requests signed by `standardwebhooks`, as its README signs a webhook.

import { randomUUID } from 'node:crypto';

import { Webhook } from 'standardwebhooks';

const LOGIN_KEY = process.env.HEADSTART_LOGIN_KEY;
const ORIGIN_KEY = process.env.HEADSTART_ORIGIN_KEY;

// The headers that sign `body`: text, or bytes.
export function signature(path, body) {
  const [id, at] = [randomUUID(), new Date()];
  const signer = new Webhook(path === '/login' ? LOGIN_KEY : ORIGIN_KEY);
  return {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(at / 1000)),
    'webhook-signature': signer.sign(id, at, body),
  };
}

// Posts `body`, signed; `sent` in place of it where that is given. Gives the status and the JSON of the answer.
export async function post(url, headers, body, sent = body) {
  const signed = signature(new URL(url).pathname, body);
  const answer = await fetch(url, { method: 'POST', headers: { ...headers, ...signed }, body: sent });
  return [answer.status, await answer.json()];
}
