// The first page: a login, and the race of all ways to its offer.

import * as lanes from './lanes.js';
import * as offer from './offer.js';
import * as results from './results.js';
import { felt, run } from './run.js';

/** How often "ten times" runs. */
const TIMES = 10;

const byId = (id) => document.getElementById(id);
const form = byId('start');
const problem = byId('problem');
const status = byId('status');
const buttons = [byId('go'), byId('ten')];

/** What the sliders say. Cost grows by the same factor with each step, from 1 to 2,000. */
function wishes() {
  const effort = Math.round(2000 ** (Number(byId('effort').value) / 100));
  const think = Number(byId('think').value);
  return { user: byId('user').value, effort, thinkMs: think * 1000 };
}

function say() {
  const { effort, thinkMs } = wishes();
  byId('effort-says').textContent = `${effort.toLocaleString('en')} × the cheapest`;
  byId('think-says').textContent = thinkMs === 0 ? 'no time: at once' : `${thinkMs / 1000} s`;
}

/** Who was quicker, without a head start or with one, and why. */
function verdict(waits, generating) {
  const without = waits.get('origin');
  const positioned = waits.get('positioned');
  if (without === undefined || positioned === undefined) return ['There is nothing to compare.', ''];
  const [slow, quick] = [without, positioned].map((ms) => Math.round(ms));
  const made = `Making the offer took ${generating} ms`;
  if (quick * 1.2 < slow) {
    return [
      `With a head start the shopper waited ${quick} ms, without it ${slow} ms.`,
      `${made}: with a head start while the shopper looked around, without it while the shopper waited.`,
    ];
  }
  const gained = `${made}. An offer this cheap, or asked for at once, gains nothing by a head start.`;
  if (slow * 1.2 < quick)
    return [`Without a head start it was quicker this time: ${slow} ms against ${quick} ms.`, gained];
  return [`No difference worth the name: ${quick} ms with a head start, ${slow} ms without.`, gained];
}

function tell([what, why]) {
  byId('verdict').textContent = what;
  byId('reason').textContent = why;
}

async function race() {
  const chosen = wishes();
  lanes.begin(chosen.thinkMs);
  tell([
    chosen.thinkMs === 0
      ? 'The shopper has logged in, and asks at once …'
      : 'The shopper has logged in, and looks around …',
    '',
  ]);
  const ended = await run(chosen, lanes.show);
  const waits = new Map(ended.map((lane) => [lane.way, felt(lane, chosen.thinkMs)]));
  results.add(waits);
  const { stamps } = ended.find((lane) => lane.way === 'origin');
  tell(verdict(waits, stamps?.generatedat - stamps?.startedat));
  const shown = ended.find((lane) => lane.way !== 'origin' && lane.content);
  if (shown) offer.show(shown.content);
}

async function races(times) {
  for (const button of buttons) button.disabled = true;
  problem.hidden = true;
  // On a phone the race would be run where nobody looks.
  if (byId('lanes').getBoundingClientRect().bottom > innerHeight) byId('run').scrollIntoView();
  try {
    for (let n = 1; n <= times; n += 1) {
      status.textContent = times === 1 ? 'Running …' : `Run ${n} of ${times} …`;
      await race();
    }
    status.textContent = 'Done.';
  } catch (error) {
    status.textContent = '';
    tell(['', '']);
    problem.hidden = false;
    problem.textContent = `The login was not taken: ${error.message}.`;
  } finally {
    lanes.end();
    for (const button of buttons) button.disabled = false;
  }
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  races(1);
});
byId('ten').addEventListener('click', () => races(TIMES));
for (const id of ['effort', 'think', 'user']) {
  byId(id).addEventListener('input', () => {
    say();
    results.forget();
  });
}
say();
