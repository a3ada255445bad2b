// Numbers and times as people read them.

const clock = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});
const whole = new Intl.NumberFormat();

const TRANSPORTS = { ws: 'WebSocket', sse: 'Server-Sent Events', poll: 'long polling' };

/**
 * A duration in milliseconds: `-3 ms`, `840 ms`, `12.3 s`, `7 min`.
 *
 * @param {number} ms
 */
export function duration(ms) {
  const size = Math.abs(ms);
  if (size < 1000) return `${Math.round(ms)} ms`;
  if (size < 120_000) return `${(ms / 1000).toFixed(1)} s`;
  if (size < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  return `${Math.round(ms / 3_600_000)} h`;
}

/**
 * The time of day of milliseconds since the Unix epoch.
 *
 * @param {number} at
 */
export function timeOfDay(at) {
  const date = new Date(at);
  // Anybody may have written the number.
  return Number.isNaN(date.getTime()) ? 'no time' : clock.format(date);
}

/** @param {number} number */
export function count(number) {
  return whole.format(number);
}

/**
 * @param {number} number
 * @param {string} one
 */
export function plural(number, one) {
  return `${count(number)} ${one}${number === 1 ? '' : 's'}`;
}

/** @param {string | undefined} transport */
export function transportName(transport) {
  return TRANSPORTS[transport] ?? 'no transport';
}

/**
 * Coordinates, as far as they say something: `48.1° N, 11.6° E`.
 *
 * @param {number} latitude
 * @param {number} longitude
 */
export function coordinates(latitude, longitude) {
  const one = (degrees, positive, negative) =>
    `${Number(Math.abs(degrees).toFixed(1))}°\u00a0${degrees < 0 ? negative : positive}`;
  return `${one(latitude, 'N', 'S')}, ${one(longitude, 'E', 'W')}`;
}
