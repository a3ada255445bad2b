// The client of an edge, for any page. Its types and what it promises are in headstart.d.ts.
//
// | question | file |
// |---|---|
// | How is an offer awaited? | offer.js |
// | How are topics followed? | subscription.js |
// | Which transport, and when again? | persist.js |
// | How is one connection read, and given up? | line.js |
// | What is an error? | problem.js |
// | Which edge? | nearest.js |

import { ask } from './line.js';
import { offer } from './offer.js';
import { persist } from './persist.js';
import { subscribe } from './subscription.js';

export { nearest } from './nearest.js';
export { ProblemError } from './problem.js';

const LOGIN_TRIES = 8;

/** @type {typeof import('./headstart.d.ts').connect} */
export function connect(url = new URL(import.meta.url).origin, { token, credentials } = {}) {
  url = url.replace(/\/$/, '');
  const memory = {};
  let known;
  // The token, or another one where the edge refused it.
  const bearer = async (refused) => {
    if (known === refused) known = typeof token === 'function' ? await token() : token;
    return known;
  };
  return {
    url,

    login(user, { attributes, signal } = {}) {
      // A string without a content type needs no preflight.
      const init = { method: 'POST', body: JSON.stringify({ user, attributes }) };
      return persist({
        transports: [''],
        memory,
        signal,
        tries: LOGIN_TRIES,
        attempt: async (_via, _opened, signal) => (await ask(url + '/login', { ...init, signal })).json(),
      });
    },

    offer: (ticket, options) => offer(url, memory, ticket, options),
    subscribe: (topics, options) => subscribe(url, memory, bearer, credentials, topics, options),
  };
}
