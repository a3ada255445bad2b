// Who waits for a ticket to settle, by the id of its Durable Object: open streams and long polls.
//
// They are kept here and not in Rust because a panic takes the memory of the whole Wasm instance
// with it; JavaScript's stays, so whoever waits is still there when the object is built anew.
// Called from wake.rs only.

const waiting = new Map();

function add(object, settle) {
  let all = waiting.get(object);
  if (all === undefined) waiting.set(object, (all = new Set()));
  all.add(settle);
}

function remove(object, settle) {
  const all = waiting.get(object);
  if (all?.delete(settle) && all.size === 0) waiting.delete(object);
}

export function count(object) {
  return waiting.get(object)?.size ?? 0;
}

// A stream that begins with `first`, says `heartbeat` every so often, and ends when the ticket
// settles, the client goes, or `lifeMs` has passed.
export function openStream(object, first, heartbeat, heartbeatMs, lifeMs) {
  let end;
  return new ReadableStream({
    start(controller) {
      const settle = (bytes) => {
        end();
        controller.enqueue(bytes);
        controller.close();
      };
      const beat = setInterval(() => {
        try {
          controller.enqueue(heartbeat);
        } catch {
          end();
        }
      }, heartbeatMs);
      const life = setTimeout(() => {
        end();
        try {
          controller.close();
        } catch {
          // It is closed already.
        }
      }, lifeMs);
      end = () => {
        clearInterval(beat);
        clearTimeout(life);
        remove(object, settle);
      };
      add(object, settle);
      controller.enqueue(first);
    },
    cancel() {
      end();
    },
  });
}

// Resolves when the ticket settles, or after `ms`.
export function wait(object, ms) {
  return new Promise((resolve) => {
    const settle = () => {
      clearTimeout(timer);
      remove(object, settle);
      resolve();
    };
    const timer = setTimeout(settle, ms);
    add(object, settle);
  });
}

// Wakes everyone who waits; streams get `bytes` and end. Returns how many there were.
export function wakeAll(object, bytes) {
  const all = [...(waiting.get(object) ?? [])];
  for (const settle of all) {
    try {
      settle(bytes);
    } catch {
      // A client that is gone, or of an earlier life of the object.
      remove(object, settle);
    }
  }
  return all.length;
}
