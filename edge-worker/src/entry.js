// What the platform calls: the Worker and its Durable Objects as worker-build makes them, without what that
// does for each request. Its Worker is a class that is made anew each time, behind two proxies, and its
// objects make another response of the one that they were given; both take as long as the answer itself.
import * as built from '../build/worker.js';

// What worker-build keeps of the Wasm instance: whether it has panicked, and is to be made anew.
const state = globalThis.__worker_init_state;
const Worker = built.default;
const { fetch: answer } = Worker.prototype;

// Each step of a future is a microtask, and the platform's own function takes ten times as long for one as a
// promise does. What a step throws goes where it would have gone.
const settled = Promise.resolve();
globalThis.queueMicrotask = (task) => {
  settled.then(task).catch(reportError);
};

export default {
  async fetch(request, env, ctx) {
    // The class makes the instance anew.
    if (state.criticalError) return new Worker(ctx, env).fetch(request);
    try {
      return await answer.call({ env, ctx }, request);
    } catch (error) {
      if (error instanceof WebAssembly.RuntimeError) state.criticalError = true;
      throw error;
    }
  },
};

const withoutCopies = (Class) =>
  class extends Class {
    async fetch(request) {
      return await this.answer(request);
    }
  };

export const DeskDo = withoutCopies(built.DeskDo);
export const TopicDo = withoutCopies(built.TopicDo);
export const RelayDo = withoutCopies(built.RelayDo);
