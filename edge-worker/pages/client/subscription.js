// Following topics: one connection, the next one when it breaks, and each update once.

import { dataOf, mediaTypeOf, stampsOf } from './cloudevent.js';
import { line } from './line.js';
import { links } from './links.js';
import { pause, persist } from './persist.js';
import { problem } from './problem.js';
import { whileAway } from './while_away.js';

// How long the edge may take for its welcome: longer than it waits for a token that is missing.
const OPENS_MS = 12000;

export function subscribe(url, memory, tokens, topics, options = {}) {
  topics = [topics].flat();
  const { transports = ['ws', 'sse', 'poll'], latest, ack, place, pauseAfter = 60000 } = options;
  // The last sequence of each topic.
  const at = new Map();
  for (const pair of (options.cursor ?? '').split(',')) {
    const [topic, sequence] = pair.split('=');
    if (topics.includes(topic)) at.set(topic, +sequence);
  }
  // What was published and has no result yet, by the ids of the events.
  const unanswered = new Map();
  const ended = new AbortController();
  let state = 'connecting';
  let transport;
  let roundTrip;
  // Sends a message, while a WebSocket is open.
  let send;
  let away = false;
  // Ends what is open or waited for, so that something else is done.
  let move = new AbortController();
  // The last connection was given up because an update was missing.
  let suspicious = false;
  // The token was refused, and this is another one.
  let refreshed = false;

  // A callback that fails is the page's affair, and must not cost it an update.
  const call = (name, ...values) => {
    try {
      options[name]?.(...values);
    } catch (error) {
      reportError(error);
    }
  };

  const tell = (now, info) => {
    state = now;
    call('onState', now, { transport, ...info });
  };

  const cursor = () => [...at].map((pair) => pair.join('=')).join();

  function update(event) {
    const { subject: topic, id } = event;
    const sequence = +event.sequence;
    const after = at.get(topic);
    if (sequence <= after) return;
    if (sequence > after + 1) {
      // Asking again after the cursor brings what is missing, if anything does.
      suspicious = !suspicious;
      if (suspicious) throw new Error('an update is missing');
      call('onGap', { topic, after, first: sequence });
    }
    at.set(topic, sequence);
    const data = dataOf(event);
    call('onUpdate', { topic, sequence, data, mediaType: mediaTypeOf(event), stamps: stampsOf(event), id, event });
  }

  // Takes in a message of the edge, whichever transport it came over.
  function take({ welcome, gap, updates, published }) {
    if (welcome) {
      refreshed = false;
      for (const topic of topics) {
        const head = welcome.topics[topic] ?? 0;
        if (!at.has(topic)) at.set(topic, latest && head ? head - 1 : head);
      }
      tell('open');
      call('onWelcome', welcome);
      if (!send) refuse();
      for (const { message } of unanswered.values()) send(message);
    }
    if (gap) {
      suspicious = false;
      at.set(gap.topic, gap.first - 1);
      call('onGap', gap);
    }
    updates?.forEach(update);
    if (published) {
      // One that could not be read has no id; results come in the order of what was sent.
      const id = published.id || unanswered.keys().next().value;
      unanswered.get(id)?.resolve(published);
      unanswered.delete(id);
    }
  }

  // Nothing that was published will get a result.
  function refuse(error = problem('upgrade-required', 426, 'publishing needs a WebSocket')) {
    for (const { reject } of unanswered.values()) reject(error);
    unanswered.clear();
  }

  async function connect(via, opened) {
    while (away) await pause(2 ** 30, move.signal), renew();
    renew();
    transport = via;
    tell('connecting');
    const token = await tokens.get();
    const request = {
      url,
      topics,
      at,
      query: new URLSearchParams([
        ...topics.map((topic) => ['topic', topic]),
        ...(at.size ? [['last_event_id', cursor()]] : []),
        ...(latest ? [['latest', '1']] : []),
      ]),
      headers: token ? { authorization: 'Bearer ' + token } : {},
      token,
      ack,
      place,
      opened,
      take,
      canSend: (by) => (send = by),
      roundTrip: (ms) => (roundTrip = ms),
    };
    try {
      return await line(move.signal, OPENS_MS, (signal, alive) => links[via](request, signal, alive));
    } catch (error) {
      if (move.signal.aborted) return;
      if (error.status !== 401 || refreshed || !tokens.forget(token)) throw error;
      refreshed = true;
      return connect(via, opened);
    } finally {
      send = undefined;
    }
  }

  function renew() {
    if (move.signal.aborted && !ended.signal.aborted) move = new AbortController();
  }

  const stopWatching = whileAway(pauseAfter, (now) => {
    if (now && !away) tell('paused');
    else if (!away && state !== 'waiting') return;
    away = now;
    move.abort();
  });

  // Not before whoever called has the subscription in hand.
  Promise.resolve()
    .then(() =>
      persist({
        transports,
        memory,
        signal: ended.signal,
        attempt: connect,
        async rest(ms, error) {
          if (away) return;
          tell('waiting', { retryIn: ms, error });
          await pause(ms, move.signal);
        },
      }),
    )
    .catch((error) => {
      const reason = ended.signal.aborted ? undefined : error;
      stopWatching();
      ended.abort();
      tell('closed', { error: reason });
      refuse(reason ?? problem('closed', 0, 'the subscription was closed'));
    });

  return {
    close() {
      away = false;
      ended.abort();
      move.abort();
    },

    publish({ topic = topics[0], id = newId(), source = '/browser', ...rest }) {
      return new Promise((resolve, reject) => {
        const event = { specversion: '1.0', type: 'dev.headstart.update', subject: topic, id, source, ...rest };
        const message = { publish: { event } };
        unanswered.set(id, { message, resolve, reject });
        if (ended.signal.aborted) refuse(problem('closed', 0, 'the subscription was closed'));
        else if (send) send(message);
        else if (state === 'open') refuse();
      });
    },

    get cursor() {
      return cursor();
    },
    get state() {
      return state;
    },
    get transport() {
      return transport;
    },
    get roundTrip() {
      return roundTrip;
    },
  };
}

// `crypto.randomUUID` is for pages over HTTPS only.
const newId = () => crypto.getRandomValues(new Uint32Array(4)).join('-');
