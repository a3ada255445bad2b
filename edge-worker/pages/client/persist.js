// Going on until it works: over the best transport that gets through, and again after a pause.

import { line } from './line.js';
import { isFinal } from './problem.js';

const FIRST_MS = 1000;
const LONGEST_MS = 30000;
// A connection that stood for so long was no failure, however it ended.
const STOOD_MS = 5000;

// Resolves after `ms`, or when the signal fires.
export const pause = (ms, signal) =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
    signal?.addEventListener('abort', resolve);
  });

// Calls `attempt(transport, opened, signal, alive)`, each on a line of its own, until it gives something.
// It says by `opened()` that its transport gets through.
// `rest(ms, error)` pauses between rounds. `memory` is how often each transport failed in a row while
// another one got through.
/**
 * @param {{
 *   transports: any[], memory: Record<string, number>, signal?: AbortSignal, tries?: number,
 *   attempt: (transport: any, opened: (retry?: any) => void, signal: AbortSignal, alive: () => void) => any,
 *   rest?: (ms: number, error?: any) => Promise<unknown>,
 * }} how
 */
export async function persist({
  transports,
  memory,
  signal,
  attempt,
  rest = (ms) => pause(ms, signal),
  tries = Infinity,
}) {
  for (let failures = 0; ; ) {
    const failed = [];
    let last;
    let first = FIRST_MS;
    const open = transports.filter((transport) => !(memory[transport] > 1));
    for (const transport of open.length ? open : transports) {
      let since;
      const opened = (retry) => {
        if (retry > 0) first = +retry;
        if (since) return;
        since = Date.now();
        memory[transport] = 0;
        for (const other of failed) memory[other] = (memory[other] ?? 0) + 1;
      };
      last = undefined;
      try {
        const got = await line(signal, (signal, alive) => attempt(transport, opened, signal, alive));
        if (got !== undefined) return got;
        break;
      } catch (error) {
        last = error;
        signal?.throwIfAborted();
        if (isFinal(error)) throw error;
        // What the edge says itself, it would say over any transport.
        if (error.status || since) break;
        failed.push(transport);
      } finally {
        if (Date.now() - since > STOOD_MS) failures = 0;
      }
    }
    if (last && !--tries) throw last;
    const ms = Math.random() * Math.min(LONGEST_MS, first * 2 ** failures++);
    await rest(Math.max(ms, last?.retryAfter ?? 0), last);
  }
}
