// Which marks a map has: clients that are near each other on it share one, and a label is left out where
// it would cover another, or a mark.

import { percentile } from './numbers.js';

/** Clients nearer than this share a mark, in pixels. */
const NEAR = 14;
const LABEL_HEIGHT = 16;
const CHARACTER_WIDTH = 7.5;

/**
 * @typedef {object} Mark
 * @property {number} x
 * @property {number} y
 * @property {number} clients
 * @property {boolean} own Whether this page is among them.
 * @property {number | undefined} roundTrip The median of the clients' last round trips, in milliseconds.
 */

/**
 * @param {Iterable<object>} clients As the edge tells them.
 * @param {string | undefined} own This page's id.
 * @param {(place: [number, number]) => [number, number] | null} project From longitude and latitude.
 * @returns {{marks: Mark[], unknown: number}} The own mark last; how many clients have no place.
 */
export function marksOf(clients, own, project) {
  const groups = new Map();
  let unknown = 0;
  for (const client of clients) {
    const { latitude, longitude } = client.place;
    const point = latitude === undefined || longitude === undefined ? null : project([longitude, latitude]);
    if (point === null) {
      unknown += 1;
      continue;
    }
    const key = point.map((coordinate) => Math.round(coordinate / NEAR)).join();
    const group = groups.get(key) ?? { points: [], trips: [], own: false };
    group.points.push(point);
    if (client.roundtrip !== undefined) group.trips.push(client.roundtrip.last);
    group.own ||= client.id === own;
    groups.set(key, group);
  }
  const middle = (points, axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length;
  const marks = [...groups.values()].map(({ points, trips, own }) => ({
    x: middle(points, 0),
    y: middle(points, 1),
    clients: points.length,
    own,
    roundTrip: percentile(trips, 50),
  }));
  marks.sort((a, b) => a.own - b.own || a.clients - b.clients);
  return { marks, unknown };
}

/**
 * Where each mark's label goes, beside it; undefined for one that has no room.
 *
 * @param {Mark[]} marks
 * @param {(mark: Mark) => string} text
 * @param {number} width Of the map.
 */
export function labelsOf(marks, text, width) {
  const box = (left, right, y, half) => ({ left, right, top: y - half, bottom: y + half });
  const taken = marks.map(({ x, y, clients }) => {
    const radius = radiusOf(clients);
    return box(x - radius, x + radius, y, radius);
  });
  const places = marks.map(() => undefined);
  // The most important are last, and choose first.
  for (let index = marks.length - 1; index >= 0; index -= 1) {
    const { x, y, clients } = marks[index];
    const size = text(marks[index]).length * CHARACTER_WIDTH;
    const away = radiusOf(clients) + 4;
    for (const [left, anchor] of [
      [x + away, 'start'],
      [x - away - size, 'end'],
    ]) {
      const label = box(left, left + size, y, LABEL_HEIGHT / 2);
      if (label.left >= 0 && label.right <= width && !taken.some((other) => overlap(label, other))) {
        taken.push(label);
        places[index] = { x: anchor === 'start' ? x + away : x - away, anchor };
        break;
      }
    }
  }
  return places;
}

function overlap(a, b) {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

/** @param {number} clients */
export function radiusOf(clients) {
  return Math.min(16, 4 + 2 * Math.sqrt(clients));
}
