// The ways to follow topics: each opens a connection, hands what it hears to `take`, and ends with it.

import { ask, events } from './line.js';
import { ProblemError } from './problem.js';

// The edge says something every 20 s over a stream, and answers every ping over a WebSocket.
const SILENT_MS = 45000;
const PING_MS = 20000;
// Whoever says nothing for 10 s is not shown as connected.
const SHOWN_MS = 5000;
// Long polls of so many topics at most: browsers open six connections to a server without HTTP/2.
const MOST_LONG_POLLS = 3;
const WAIT_S = 25;
const POLL_MS = 2000;

export const links = { ws, sse, poll };

function ws({ url, query, token, ack, place, opened, take, canSend, roundTrip }, signal, alive) {
  return new Promise((_, reject) => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/topics?${query}`);
    const send = (message) => socket.send(JSON.stringify(message));
    let refused;
    let beat;
    let askedAt;
    const ping = () => {
      askedAt = performance.now();
      socket.send('ping');
    };
    const fail = (error) => {
      clearInterval(beat);
      socket.onmessage = null;
      socket.close();
      reject(error);
    };
    socket.onopen = () => token && send({ auth: { token } });
    socket.onmessage = ({ data }) => {
      alive(SILENT_MS);
      if (data === 'pong') return roundTrip(performance.now() - askedAt);
      const message = JSON.parse(data);
      const { welcome, ping: question, problem, updates = [] } = message;
      if (problem) refused = new ProblemError(problem);
      if (question) send({ pong: question });
      if (welcome) {
        opened();
        canSend(send);
        if (ack && place) send({ here: { place } });
        beat = setInterval(ping, ack ? SHOWN_MS : PING_MS);
        ping();
      }
      try {
        take(message);
      } catch (error) {
        return fail(error);
      }
      if (ack) for (const [topic, sequence] of lastOf(updates)) send({ ack: { topic, sequence } });
    };
    // The edge's own codes are 3600 more than the statuses of HTTP that say the same.
    socket.onclose = ({ code, reason }) =>
      fail(refused ?? (code > 4000 ? new ProblemError({ status: code - 3600, title: reason }) : new Error('the WebSocket closed')));
    signal.addEventListener('abort', () => fail(signal.reason));
  });
}

async function sse({ url, query, headers, ack, place, opened, take }, signal, alive) {
  // Acks that are due: the last of each topic.
  const due = new Map();
  let subscriber;
  let acking = false;
  async function sendAcks() {
    if (acking) return;
    acking = true;
    for (const [topic, sequence] of due) {
      due.delete(topic);
      const body = JSON.stringify({ subscriber, sequence, place });
      // One that is lost is nothing: the next one says more.
      await ask(`${url}/topics/${topic}/acks`, { method: 'POST', body, headers, signal }).catch(() => {});
    }
    acking = false;
  }
  const last = new Map();
  const beat = ack && setInterval(() => {
    for (const [topic, sequence] of last) due.set(topic, sequence);
    sendAcks();
  }, SHOWN_MS);
  try {
    for await (const { event, data, retry } of events(await ask(`${url}/topics?${query}`, { headers, signal }))) {
      alive(SILENT_MS);
      opened(retry);
      if (!data) continue;
      const value = JSON.parse(data);
      const updates = event === 'update' ? [value] : [];
      take({ [event]: value, updates });
      if (event === 'welcome') {
        subscriber = value.subscriber;
        for (const [topic, head] of Object.entries(value.topics)) last.set(topic, head || 1);
      }
      for (const [topic, sequence] of lastOf(updates)) {
        last.set(topic, sequence);
        due.set(topic, sequence);
      }
      if (ack) sendAcks();
    }
  } finally {
    clearInterval(beat);
  }
}

async function poll({ url, topics, at, headers, opened, take }, signal, alive) {
  const get = async (path, more) => (await ask(`${url}/topics/${path}`, { headers: { ...headers, ...more }, signal, cache: 'no-store' })).json();
  const head = (topic) =>
    get(topic).then(
      ({ sequence }) => [topic, +sequence],
      (error) => {
        if (error.type?.endsWith(':no-update')) return [topic, 0];
        throw error;
      },
    );
  const heads = await Promise.all(topics.map(head));
  opened();
  take({ welcome: { topics: Object.fromEntries(heads) } });
  const isLong = topics.length <= MOST_LONG_POLLS;
  const follow = async (topic) => {
    for (;;) {
      alive(SILENT_MS);
      const { updates, gap, more } = await get(`${topic}?since=${at.get(topic)}`, isLong && { prefer: 'wait=' + WAIT_S });
      take({ gap, updates });
      if (!isLong && !more) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  };
  await Promise.all(topics.map(follow));
}

const lastOf = (updates) => new Map(updates.map(({ subject, sequence }) => [subject, +sequence]));
