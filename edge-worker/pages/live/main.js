// Live events: follows topics at the edge that the page came from, and shows what comes, who else is
// there, how far away everyone is, and what becomes of the connection.

import { Charts } from './charts.js';
import { Clients } from './clients.js';
import { copyButtons, showCommands } from './commands.js';
import { Comparison } from './compare.js';
import { Connection } from './connection.js';
import { byId, el, say } from './dom.js';
import { Feed } from './feed.js';
import { count, duration, transportName } from './format.js';
import { Log } from './log.js';
import { WorldMap } from './map.js';
import { Narrator } from './narrate.js';
import { percentile } from './numbers.js';
import { Picker } from './picker.js';
import { followPresence, publicId } from './presence.js';
import { PublishBox } from './publish.js';
import { sharing } from './share.js';
import { isPrivate, queryOf, topicsOf } from './topics.js';

const TICK_MS = 1000;

const edge = location.origin;
const log = new Log(byId('log'));
const narrator = new Narrator(log);
const feed = new Feed(byId('feed'), byId('feed-pause'));
const clients = new Clients(byId('clients'), byId('clients-told'));
const map = new WorldMap(byId('map'), byId('map-told'));
const charts = new Charts(byId('round-trips'), byId('rate'));
const comparison = new Comparison(byId('compare'));

const totals = { updates: 0, gaps: 0, reconnects: 0 };
/** What came since the last tick. */
let fresh = { updates: 0, trips: [] };
let lastTick = Date.now();

let state;
let transport;
/** What the edge said last when it let the page in. */
let welcomed;
/** The id under which everyone sees this page. */
let own;
/** Up to these sequences the updates are from history. */
let heads = {};
let present = { count: 0, clients: new Map() };

function ownClient() {
  return present.clients.get(own);
}

function showPresent() {
  say(byId('count-clients'), count(present.count));
  clients.show(present, own);
  map.show(present, own);
}

function showStatus(info) {
  const name = transportName(transport);
  const { topics, token } = connection.settings;
  const closed = token === undefined ? topics.find(isPrivate) : undefined;
  const texts = {
    connecting: `Connecting over ${name} …`,
    open: `Connected over ${name}.`,
    waiting: 'Not connected; it will be tried again.',
    paused: 'Paused: the page is hidden, or the browser is offline.',
    closed: info.error === undefined ? 'Closed.' : `The edge refuses: ${info.error.message}`,
  };
  const status = byId('status');
  status.className = state;
  // The edge may be asked for long before it says so itself.
  say(status, closed === undefined ? texts[state] : `${closed} is private: give its token below, under “Publish”.`);
}

const handlers = {
  onState(now, info) {
    const was = state;
    state = now;
    transport = info.transport ?? transport;
    narrator.state(now, { ...info, transport }, was);
    if ((now === 'paused') !== (was === 'paused')) watch();
    showStatus(info);
  },

  async onWelcome(welcome) {
    if (narrator.welcome(welcome, transport)) totals.reconnects += 1;
    welcomed = welcome;
    heads = welcome.topics;
    const id = welcome.subscriber === undefined ? undefined : await publicId(welcome.subscriber);
    // The next one may have come meanwhile.
    if (welcomed !== welcome) return;
    own = id;
    showPresent();
  },

  onUpdate(update) {
    const arrivedAt = Date.now();
    const missed = update.sequence <= (heads[update.topic] ?? 0);
    totals.updates += 1;
    fresh.updates += 1;
    narrator.update(update);
    if (!missed && Number.isFinite(update.stamps.receivedat)) {
      comparison.add(transport, arrivedAt - update.stamps.receivedat);
    }
    byId('empty').hidden = true;
    feed.update(update, { arrivedAt, publishedHere: box.isOwn(update.id), missed });
  },

  onGap(gap) {
    totals.gaps += 1;
    narrator.gap(gap);
    feed.gap(gap);
  },
};

const { topics, refused } = topicsOf(location.search);
const connection = new Connection(edge, { topics, transport: 'ws', token: undefined, place: undefined }, handlers);
const box = new PublishBox(connection, (token) => {
  change({ token }, token === undefined ? 'Opening anew without the token.' : 'Opening anew with the token.');
});
const picker = new Picker((topics) => {
  history.pushState(null, '', queryOf(topics));
  change({ topics }, `Following ${topics.join(', ')}.`);
});

/** Ends when another topic's clients are shown, nobody looks, or nothing can be reached. */
let watching = new AbortController();

// Browsers allow six connections to a host where it speaks HTTP/1.1: a page that nobody looks at takes
// none of them for this.
function watch() {
  watching.abort();
  if (document.hidden || state === 'paused') return;
  watching = new AbortController();
  const { token } = connection.settings;
  followPresence(edge, byId('clients-topic').value, {
    token,
    signal: watching.signal,
    onPresent(now) {
      present = now;
      fresh.trips.push(...now.measured);
      showPresent();
    },
    onError(error) {
      present = { count: 0, clients: new Map() };
      showPresent();
      clients.none(`The edge does not tell who is connected: ${error.message}`);
    },
  });
}

function showSettings() {
  const { settings } = connection;
  picker.show(settings.topics);
  box.settings(settings);
  showCommands(settings.topics, edge);
  const select = byId('clients-topic');
  const chosen = select.value;
  select.replaceChildren(...settings.topics.map((topic) => el('option', {}, topic)));
  if (settings.topics.includes(chosen)) select.value = chosen;
  byId('clients-choice').hidden = settings.topics.length === 1;
}

function change(changes, why) {
  narrator.changed(why, changes.topics ?? connection.settings.topics);
  state = undefined;
  connection.change(changes);
  showSettings();
  if (changes.topics !== undefined || 'token' in changes) watch();
}

function tick() {
  const now = Date.now();
  const rate = (fresh.updates * 1000) / Math.max(1, now - lastTick);
  const mine = ownClient()?.roundtrip;
  const trips = { median: percentile(fresh.trips, 50), slow: percentile(fresh.trips, 90) };
  charts.add(now, { rate, own: fresh.trips.length > 0 ? mine?.last : undefined, ...trips });
  const shown = {
    'count-trip': mine === undefined ? '–' : duration(mine.last),
    'count-ping': connection.roundTrip === undefined ? '–' : duration(connection.roundTrip),
    'count-rate': rate < 10 ? rate.toFixed(1).replace(/\.0$/, '') : count(Math.round(rate)),
    'count-updates': count(totals.updates),
    'count-reconnects': count(totals.reconnects),
    'count-gaps': count(totals.gaps),
  };
  for (const [id, text] of Object.entries(shown)) say(byId(id), text);
  comparison.show();
  fresh = { updates: 0, trips: [] };
  lastTick = now;
}

for (const name of refused) log.add(`The address names what is no topic: ${name}`, 'warn');
copyButtons();
sharing((place) => {
  change({ place }, place === undefined ? 'Opening anew without a place.' : 'Opening anew with a place.');
});
byId('transport').addEventListener('change', (event) => {
  change({ transport: event.target.value }, `Switching to ${transportName(event.target.value)}.`);
});
byId('clients-topic').addEventListener('change', watch);
document.addEventListener('visibilitychange', watch);
addEventListener('popstate', () => {
  const { topics } = topicsOf(location.search);
  change({ topics }, `Following ${topics.join(', ')}.`);
});
showSettings();
watch();
setInterval(tick, TICK_MS);
