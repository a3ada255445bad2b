// The lanes of one run, filled as time goes on.

import { hops } from './hops.js';
import { felt } from './run.js';
import { WAYS } from './ways.js';

const list = document.getElementById('lanes');
const details = document.getElementById('hops');
// On a phone it would stand between the lanes and the results.
details.open = matchMedia('(min-width: 40rem)').matches;
/** @type {Map<string, any>} */
const rows = new Map();

function element(name, className, text = '') {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

for (const way of WAYS) {
  const row = element('li', '');
  row.style.setProperty('--lane', `var(${way.color})`);
  row.dataset.way = way.id;
  const name = element('p', 'lane-name');
  name.append(element('span', '', way.name), ' ', element('small', 'quiet', way.how));
  const track = element('div', 'track');
  track.setAttribute('aria-hidden', 'true');
  const early = element('span', 'early');
  const wait = element('span', 'wait');
  track.append(early, wait, element('span', 'asks'));
  const told = element('p', 'lane-told number');
  const waited = element('span', 'waited');
  const time = element('small', 'quiet');
  told.append(waited, ' ', time);
  row.append(name, track, told);
  list.append(row);
  const stamps = element('dd', 'quiet');
  stamps.dataset.way = way.id;
  details.querySelector('dl').append(element('dt', '', way.name), stamps);
  rows.set(way.id, { waited, time, early, wait, stamps, lane: undefined });
}

let began = 0;
let thinkMs = 0;
let frame = 0;

/** The right end of the axis, in ms: always a little ahead of what has happened. */
function span(now) {
  const last = Math.max(now, thinkMs, ...[...rows.values()].map(({ lane }) => lane?.arrived ?? 0));
  return Math.max(500, last * 1.05);
}

function draw() {
  const now = performance.now() - began;
  const running = [...rows.values()].some(({ lane }) => !lane || (lane.arrived === undefined && !lane.error));
  const whole = span(running ? now : 0);
  const at = (ms) => `${((100 * ms) / whole).toFixed(2)}%`;
  list.style.setProperty('--asks', at(thinkMs));
  for (const { lane, early, wait } of rows.values()) {
    const until = lane ? (lane.arrived ?? (lane.error ? lane.asked : now)) : 0;
    const from = lane?.asked ?? 0;
    // Before the shopper asks nobody waits, though the lane is under way.
    const asks = Math.max(from, thinkMs);
    early.style.left = at(from);
    early.style.width = at(Math.max(0, Math.min(until, asks) - from));
    wait.style.left = at(asks);
    wait.style.width = at(Math.max(0, until - asks));
  }
  if (running) frame = requestAnimationFrame(draw);
}

/** A run begins. */
export function begin(think) {
  cancelAnimationFrame(frame);
  began = performance.now();
  thinkMs = think;
  list.classList.add('begun');
  for (const row of rows.values()) {
    row.lane = undefined;
    row.waited.textContent = '';
    row.waited.classList.remove('bad');
    row.time.textContent = '';
    row.stamps.replaceChildren();
  }
  frame = requestAnimationFrame(draw);
}

/** A run could not begin, or is over. */
export function end() {
  cancelAnimationFrame(frame);
  draw();
  cancelAnimationFrame(frame);
}

/** Something is new of a lane. */
export function show(lane) {
  const row = rows.get(lane.way);
  row.lane = lane;
  if (lane.error) {
    row.waited.textContent = lane.error;
    row.waited.classList.add('bad');
    return;
  }
  if (lane.arrived === undefined) return;
  const waited = Math.round(felt(lane, thinkMs));
  row.waited.textContent = waited === 0 ? 'no wait' : `waited ${waited} ms`;
  row.time.textContent = `there after ${Math.round(lane.arrived)} ms`;
  const parts = hops(lane.stamps, lane.arrivedAt);
  row.stamps.replaceChildren(...parts.map((part) => element('span', '', part)));
}
