// Who waits at a Durable Object until it is woken, by a name: long polls, and what goes on later.
//
// They are kept here and not in Rust because a panic takes the memory of the whole Wasm instance
// with it; JavaScript's stays, so whoever waits is still there when the object is built anew.
// Called from wake.rs only.

const waiting = new Map();

function remove(object, wake) {
  const all = waiting.get(object);
  if (all?.delete(wake) && all.size === 0) waiting.delete(object);
}

export function count(object) {
  return waiting.get(object)?.size ?? 0;
}

// Resolves when the object is woken, or after `ms`.
export function wait(object, ms) {
  return new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      remove(object, wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    const all = waiting.get(object);
    if (all === undefined) waiting.set(object, new Set([wake]));
    else all.add(wake);
  });
}

// Wakes everyone who waits.
export function wakeAll(object) {
  for (const wake of [...(waiting.get(object) ?? [])]) {
    try {
      wake();
    } catch {
      // One of an earlier life of the object.
      remove(object, wake);
    }
  }
}
