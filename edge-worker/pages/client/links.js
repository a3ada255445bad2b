// The ways to follow topics: each opens a connection, hands what it hears to `take`, and ends with it.

import { ask, events, every, socket } from './line.js';
import { ProblemError } from './problem.js';

const PING_MS = 20000;
// Whoever says nothing for 10 s is not shown as connected.
const SHOWN_MS = 5000;
// Without HTTP/2, browsers open six connections to a server.
const MOST_LONG_POLLS = 4;

const ws = (link, signal, alive) =>
  socket(link.url + link.query, signal, (socket, _, reject) => {
    // A message may still come while the connection is being closed, and its answer may not go.
    const say = (text) => socket.readyState === 1 && socket.send(text);
    const send = (message) => say(JSON.stringify(message));
    let askedAt;
    const ping = () => {
      askedAt = performance.now();
      say('ping');
    };
    return {
      onopen: () => link.token && send({ auth: { token: link.token } }),
      onmessage({ data }) {
        alive();
        if (data === 'pong') return link.told(performance.now() - askedAt);
        const message = JSON.parse(data);
        const { welcome, ping: question, problem, updates } = message;
        if (problem) reject(new ProblemError(problem));
        if (question) send({ pong: question });
        if (welcome) {
          link.send = send;
          if (link.place) send({ here: { place: link.place } });
          every(link.ack ? SHOWN_MS : PING_MS, signal, ping);
          ping();
        }
        try {
          link.take(message);
        } catch (error) {
          reject(error);
        }
        if (link.ack) updates?.forEach(({ subject: topic, sequence }) => send({ ack: { topic, sequence: +sequence } }));
      },
    };
  });

async function sse({ url, query, init, topics, at, ack, place, opened, take }, signal, alive) {
  // The topics whose last updates are to be acked.
  const due = new Set();
  let subscriber;
  let busy = !ack;
  async function sendAcks(topics) {
    topics.forEach((topic) => due.add(topic));
    if (busy) return;
    busy = true;
    for (const topic of due) {
      due.delete(topic);
      const body = JSON.stringify({ subscriber, sequence: at[topic] || 1, place });
      // One that is lost is nothing: the next one says more.
      await ask(`${url}/topics/${topic}/acks`, { ...init, method: 'POST', body }).catch(() => {});
    }
    busy = false;
  }
  every(SHOWN_MS, signal, () => sendAcks(topics));
  for await (const { event, data, retry } of events(url + query, init)) {
    alive();
    opened(retry);
    if (data) {
      const value = JSON.parse(data);
      take({ [event]: value });
      subscriber ??= value.subscriber;
      if (event === 'update') sendAcks([value.subject]);
    }
  }
}

async function poll({ url, init, topics, at, take }, _, alive) {
  const get = async (path) => (await ask(`${url}/topics/${path}`, init)).json();
  const heads = {};
  for (const topic of topics) {
    heads[topic] = await get(topic).then(
      ({ sequence }) => +sequence,
      (error) => {
        if (!/no-update/.test(error.type)) throw error;
        return 0;
      },
    );
  }
  take({ welcome: { topics: heads } });
  init.headers.prefer = 'wait=' + (topics.length > MOST_LONG_POLLS ? 1 : 25);
  await Promise.all(
    topics.map(async (topic) => {
      for (;;) {
        alive();
        take(await get(`${topic}?since=${at[topic]}`));
      }
    }),
  );
}

export const links = { ws, sse, poll };
