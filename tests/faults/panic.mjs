// The Worker in the state that a panic leaves behind, where a request asks for that by the header `x-panic`:
// nothing that a client sends brings a real one about.

import worker from 'WORKER';

export * from 'WORKER';

export default {
  fetch(request, env, ctx) {
    // What Rust's panic hook does.
    if (request.headers.has('x-panic')) globalThis.__worker_init_state.criticalError = true;
    return worker.fetch(request, env, ctx);
  },
};
