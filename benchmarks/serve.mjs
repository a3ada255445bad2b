// Runs a Worker in workerd as its wrangler.toml says, reached directly: `wrangler dev` puts a proxy in
// front, which would be measured too.
//
//   node serve.mjs WRANGLER_TOML STATE_FOLDER [NAME=VALUE ...]
//
// NAME=VALUE sets a variable or secret. Prints the URL once it listens, then serves until it is killed.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, relative, resolve } from 'node:path';
import { unstable_getMiniflareWorkerOptions } from 'wrangler';

// It comes with wrangler, in the version that fits.
const { Miniflare, convertV4MiniflareOptions } = createRequire(createRequire(import.meta.url).resolve('wrangler'))(
  'miniflare',
);

const [config, state, ...settings] = process.argv.slice(2);

const { workerOptions, main } = unstable_getMiniflareWorkerOptions(config);
// The pages are left out: locally another Worker serves them, in front of ours, and hands on every byte.
const { modulesRules, assets, ...options } = workerOptions;
const root = dirname(main);
const module = (type, file) => {
  const path = resolve(root, file);
  const contents = readFileSync(path);
  return { type, path, contents: type === 'ESModule' ? contents.toString() : contents };
};
const modules = [module('ESModule', relative(root, main))];
// What worker-build puts beside the script.
if (modules[0].contents.includes('index_bg.wasm')) {
  modules.push(module('CompiledWasm', 'index_bg.wasm'));
  // Locally two Workers and a Durable Object play the rate limiter, which is part of the platform's own
  // runtime: they would be measured in place of it.
  const unlimited = `
    import worker from './index.js';
    export * from './index.js';
    class Ratelimit { async limit() { return { success: true }; } }
    let unlimited;
    export default {
      fetch: (request, env, ctx) => worker.fetch(request, (unlimited ??= { ...env, LOGIN_LIMIT: new Ratelimit() }), ctx),
    };`;
  modules.unshift({ type: 'ESModule', path: resolve(root, 'unlimited.js'), contents: unlimited });
}

const miniflare = new Miniflare({
  ...convertV4MiniflareOptions({
    workers: [
      {
        ...options,
        modules,
        modulesRoot: root,
        bindings: { ...options.bindings, ...Object.fromEntries(settings.map(pair)) },
        unsafeDirectSockets: [{ host: '127.0.0.1', port: 0 }],
      },
    ],
  }),
  resourcePersistencePath: state,
});

function pair(setting) {
  const at = setting.indexOf('=');
  return [setting.slice(0, at), setting.slice(at + 1)];
}

console.log(`listening on ${await miniflare.unsafeGetDirectURL()}`);
