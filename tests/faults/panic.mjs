// The Worker, which panics where a request asks for it by the header `x-panic`: what it asks the platform for
// then throws what a panic of Wasm throws.

import worker from 'WORKER';

export * from 'WORKER';

const broken = (env) =>
  new Proxy(env, {
    get(env, name) {
      if (name === 'LOGIN_LIMIT') throw new WebAssembly.RuntimeError('unreachable');
      return env[name];
    },
  });

export default {
  fetch: (request, env, ctx) => worker.fetch(request, request.headers.has('x-panic') ? broken(env) : env, ctx),
};
