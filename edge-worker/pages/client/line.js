// One request, or one connection: given up when nothing is heard for too long, and read as Server-Sent
// Events or as a WebSocket.

import { ProblemError } from './problem.js';

// What gets through does so within this time. Then the edge says something every 20 s over a stream, and
// answers pings and long polls within the other.
const OPENS_MS = 8000;
const SILENT_MS = 45000;

// Runs `use(signal, alive)`. The signal fires with `outer`, when `alive()` is not said for the first time
// within `ms`, and when it is not said again for long.
export async function line(outer, use, ms = OPENS_MS) {
  outer?.throwIfAborted();
  const controller = new AbortController();
  const { signal } = controller;
  let timer;
  const alive = (ms = SILENT_MS) => {
    clearTimeout(timer);
    timer = setTimeout(() => controller.abort(new Error('connection silent')), ms);
  };
  outer?.addEventListener('abort', () => controller.abort(outer.reason), { signal });
  alive(ms);
  try {
    return await use(signal, alive);
  } catch (error) {
    // Streams that are cut off have errors of their own, which do not say why.
    throw signal.aborted ? signal.reason : error;
  } finally {
    clearTimeout(timer);
    // Whatever is still open of it.
    controller.abort();
  }
}

// An answer, where it is none of an error.
export async function ask(url, init) {
  const answer = await fetch(url, init).catch((error) => {
    // Browsers tell a page no more than that nothing came.
    if (error instanceof TypeError && !url.startsWith(origin)) {
      error.message += ', or CORS_ORIGINS of the edge does not name this page';
    }
    throw error;
  });
  if (answer.ok) return answer;
  throw new ProblemError({
    status: answer.status,
    title: 'HTTP ' + answer.status,
    retryAfter: /** @type {any} */ (answer.headers.get('retry-after')) * 1000,
    .../** @type {{}} */ (await answer.json().catch(() => {})),
  });
}

// The events of an answer as objects of their fields, written as the edge writes them, with LF and a space
// after the colon; and for each piece that comes one without data, since heartbeats and `retry` are lines
// that end no event.
export async function* events(url, init) {
  const { body } = /** @type {{ body: ReadableStream }} */ (await ask(url, init));
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let event = {};
  for (let rest = ''; ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split('\n');
    rest = /** @type {string} */ (lines.pop());
    for (const text of lines) {
      const [name, ...rest] = text.split(': ');
      if (name) event[name] = (name in event ? event[name] + '\n' : '') + rest.join(': ');
      else {
        yield event;
        event = {};
      }
    }
    yield { retry: event.retry };
  }
}

// A WebSocket, with the handlers that `use(socket, resolve, reject)` gives. Rejects when it closes.
export const socket = (url, signal, use) =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(url.replace('http', 'ws'));
    signal.addEventListener('abort', () => {
      socket.onmessage = null;
      socket.close();
      reject(signal.reason);
    });
    // The edge's own codes are 3600 more than the statuses of HTTP that say the same.
    socket.onclose = ({ code, reason }) =>
      reject(code > 4000 ? new ProblemError({ status: code - 3600, title: reason }) : new Error('connection closed'));
    Object.assign(socket, use(socket, resolve, reject));
  });

// Calls `tick` every `ms`, until the signal fires.
export function every(ms, signal, tick) {
  const timer = setInterval(tick, ms);
  signal.addEventListener('abort', () => clearInterval(timer));
}
