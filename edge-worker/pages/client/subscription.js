// Following topics: one connection, the next one when it breaks, and each update once.

import { opened } from './cloudevent.js';
import { links } from './links.js';
import { pause, persist } from './persist.js';
import { problem } from './problem.js';
import { whileAway } from './while_away.js';

/** @typedef {import('./headstart.d.ts').Subscription} Subscription */

/**
 * @param {string} url
 * @param {Record<string, number>} memory
 * @param {(refused: unknown) => Promise<string | null | undefined>} bearer
 * @param {RequestCredentials | undefined} credentials
 * @param {string | string[]} topics
 * @param {import('./headstart.d.ts').SubscribeOptions} options
 * @returns {Subscription}
 */
export function subscribe(url, memory, bearer, credentials, topics, options = {}) {
  topics = /** @type {string[]} */ ([topics].flat());
  const { transports = ['ws', 'sse', 'poll'], cursor = '', latest, ack, place, pauseAfter = 60000 } = options;
  // The last sequence of each topic.
  const at = { __proto__: null };
  for (const [, topic, sequence] of cursor.matchAll(/([^=,]+)=(\d+)/g)) at[topic] = +sequence;
  // What was published and has no result yet, by the ids of the events.
  const unanswered = new Map();
  const ended = new AbortController();
  // Ends what is open or waited for.
  let run;
  // The last update that came too early, and for which a connection was given up.
  let early;
  // The last token, where the edge refused it.
  let refused;

  // At once. A callback that fails is a rejection that nobody handles, and costs the page no update.
  /**
   * @template {'onUpdate' | 'onGap' | 'onState' | 'onWelcome'} Name
   * @param {Name} name
   * @param {Parameters<NonNullable<import('./headstart.d.ts').SubscribeOptions[Name]>>} values
   */
  const call = async (name, ...values) => /** @type {any} */ (options)[name]?.(...values);

  /**
   * @param {import('./headstart.d.ts').State} state
   * @param {import('./headstart.d.ts').StateInfo} [info]
   */
  const tell = (state, info) => {
    subscription.state = state;
    call('onState', state, { transport: subscription.transport, ...info });
  };

  function arrive(event) {
    const topic = event.subject;
    const sequence = +event.sequence;
    const after = at[topic];
    if (sequence <= after) return;
    if (sequence > after + 1) {
      // Asking again after the cursor brings what is missing, if anything does.
      if (early !== sequence) {
        early = sequence;
        throw new Error('update missing');
      }
      call('onGap', { topic, after, first: sequence });
    }
    at[topic] = sequence;
    call('onUpdate', { topic, sequence, event, ...opened(event) });
  }

  // Takes in a message of the edge, whichever transport it came over.
  function take({ welcome, gap, update, updates = update ? [update] : [], published }) {
    if (welcome) {
      link.opened();
      refused = undefined;
      for (const topic of topics) at[topic] ??= Math.max(0, welcome.topics[topic] - /** @type {any} */ (!!latest));
      tell('open');
      call('onWelcome', welcome);
      unanswered.forEach(({ message }) => publish(message));
    }
    if (gap) {
      at[gap.topic] = gap.first - 1;
      call('onGap', gap);
    }
    updates.forEach(arrive);
    if (published) {
      // One that could not be read has no id; results come in the order of what was sent.
      const id = published.id || unanswered.keys().next().value;
      unanswered.get(id)?.resolve(published);
      unanswered.delete(id);
    }
  }

  function publish(message) {
    if (link.send && subscription.state !== 'closed') return link.send(message);
    if (!/open|closed/.test(subscription.state)) return;
    for (const { reject } of unanswered.values()) reject(problem('upgrade-required', 426, 'WebSocket closed'));
    unanswered.clear();
  }

  async function attempt(via, opened, signal, alive) {
    subscription.transport = via;
    tell('connecting');
    const token = await bearer(refused);
    signal.throwIfAborted();
    Object.assign(link, {
      token,
      init: { credentials, signal, headers: token ? { authorization: 'Bearer ' + token } : {} },
      query:
        '/topics?topic=' +
        /** @type {string[]} */ (topics).map(encodeURIComponent).join('&topic=') +
        (latest ? '&latest=1' : '') +
        '&last_event_id=' +
        subscription.cursor,
      opened,
    });
    try {
      return await links[via](link, signal, alive);
    } catch (error) {
      if (error.status !== 401 || refused || !token) throw error;
      refused = token;
      return attempt(via, opened, signal, alive);
    } finally {
      link.send = null;
    }
  }

  async function start() {
    const { signal } = (run = new AbortController());
    const rest = (retryIn, error) => {
      tell('waiting', { retryIn, error });
      return pause(retryIn, signal);
    };
    // Not before whoever subscribes has the subscription in hand.
    await 0;
    persist({ transports, memory, signal, attempt, rest }).catch((error) => signal.aborted || close(error));
  }

  function close(error) {
    run.abort();
    ended.abort();
    tell('closed', { error });
    publish();
  }

  // What a link needs, and the function by which it sends messages, where it can.
  const link = { url, topics, at, ack, place, take, told: (ms) => (subscription.roundTrip = ms) };

  /** @type {{ -readonly [Name in keyof Subscription]: Subscription[Name] }} */
  const subscription = {
    state: 'connecting',

    close: () => ended.signal.aborted || close(),

    publish: ({ topic = topics[0], id = Date.now() + '-' + Math.random(), ...more }) =>
      new Promise((resolve, reject) => {
        const event = {
          specversion: '1.0',
          type: 'dev.headstart.update',
          source: '/browser',
          subject: topic,
          id,
          ...more,
        };
        const message = { publish: { event } };
        unanswered.set(id, { message, resolve, reject });
        publish(message);
      }),

    get cursor() {
      return Object.entries(at)
        .map((pair) => pair.join('='))
        .join();
    },
  };

  whileAway(
    pauseAfter,
    ended.signal,
    () => {
      run.abort();
      tell('paused');
    },
    () => {
      if (!/paused|waiting/.test(subscription.state)) return;
      run.abort();
      start();
    },
  );
  start();
  return subscription;
}
