// One request, or one connection: given up when nothing is heard for too long, and the stream of
// Server-Sent Events that comes over it.

import { refusal } from './problem.js';

// Runs `use(signal, alive)`. The signal fires with `outer`, and when `alive(ms)` was said last more than
// that many milliseconds ago.
export async function line(outer, ms, use) {
  const controller = new AbortController();
  const { signal } = controller;
  let timer;
  const end = () => controller.abort(outer?.reason);
  const alive = (ms) => {
    clearTimeout(timer);
    timer = setTimeout(() => controller.abort(new Error('the edge is silent')), ms);
  };
  outer?.addEventListener('abort', end);
  if (outer?.aborted) end();
  alive(ms);
  try {
    return await use(signal, alive);
  } catch (error) {
    // Streams that are cut off have errors of their own, which do not say why.
    throw signal.aborted ? signal.reason : error;
  } finally {
    clearTimeout(timer);
    outer?.removeEventListener('abort', end);
    // Whatever is still open of it.
    controller.abort();
  }
}

// An answer, where it is none of an error.
export async function ask(url, init) {
  const answer = await fetch(url, init);
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

// The events of an answer's body, comments included, as objects of their fields. The edge ends its
// lines with LF.
export async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ''; ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    const frames = (rest + value).split('\n\n');
    rest = frames.pop();
    for (const frame of frames) {
      const event = {};
      for (const text of frame.split('\n')) {
        const [, name, value] = /^(\w*): ?(.*)/s.exec(text) ?? [];
        event[name] = name === 'data' && name in event ? event[name] + '\n' + value : value;
      }
      yield event;
    }
  }
}
