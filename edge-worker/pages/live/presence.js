// Who is connected to a topic, followed as the edge tells it.

import { events, line } from '../client/line.js';
import { pause } from '../client/persist.js';
import { isFinal } from '../client/problem.js';

const RETRY_MS = 1500;

/**
 * @typedef {object} Present
 * @property {number} count How many there are, listed or not.
 * @property {Map<string, object>} clients Those listed, by their ids.
 * @property {number[]} measured The round trips that were told since the last time, in milliseconds.
 */

/**
 * The list after a frame of the edge's stream.
 *
 * @param {Map<string, object>} clients The list before; not changed.
 * @param {'subscribers' | 'changes'} name
 * @param {object} data
 * @returns {Present}
 */
export function after(clients, name, data) {
  const next = name === 'subscribers' ? new Map() : new Map(clients);
  const told = name === 'subscribers' ? data.subscribers : [...data.joined, ...data.changed];
  const measured = [];
  for (const client of told) {
    const last = client.roundtrip?.last;
    if (last !== undefined && name === 'changes') measured.push(last);
    next.set(client.id, client);
  }
  for (const id of data.left ?? []) next.delete(id);
  return { count: data.count, clients: next, measured };
}

/**
 * Follows until the signal fires.
 *
 * @param {string} url Where the edge is.
 * @param {string} topic
 * @param {object} options
 * @param {string} [options.token]
 * @param {AbortSignal} options.signal
 * @param {(present: Present) => void} options.onPresent
 * @param {(error: Error) => void} options.onError The edge tells nobody, and is not asked again.
 */
export async function followPresence(url, topic, { token, signal, onPresent, onError }) {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  while (!signal.aborted) {
    try {
      await line(signal, (signal, alive) =>
        readOnce(`${url}/topics/${topic}/subscribers/events`, { headers, signal }, alive, onPresent),
      );
    } catch (error) {
      if (!signal.aborted && isFinal(error)) {
        onError(error);
        return;
      }
    }
    await pause(RETRY_MS, signal);
  }
}

async function readOnce(url, init, alive, onPresent) {
  let clients = new Map();
  for await (const { event, data } of events(url, init)) {
    alive();
    if (event !== 'subscribers' && event !== 'changes') continue;
    const present = after(clients, event, JSON.parse(data));
    ({ clients } = present);
    onPresent(present);
  }
}

/**
 * The id under which everybody sees the connection with this secret id: how the page finds itself in the
 * list. Undefined where the browser does not reckon digests, which it does only on a safe connection.
 *
 * @param {string} secret
 */
export async function publicId(secret) {
  if (globalThis.crypto?.subtle === undefined) return undefined;
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(secret)));
  return [...digest.subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
