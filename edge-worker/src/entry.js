// What the platform calls: the Worker as worker-build makes it, without the class that it makes anew for each
// request, behind two proxies. That took more time than most requests do.
import Worker from '../build/worker.js';

export * from '../build/worker.js';

// What worker-build keeps of the Wasm instance: whether it has panicked, and is to be made anew.
const state = globalThis.__worker_init_state;
const { fetch: answer } = Worker.prototype;

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
