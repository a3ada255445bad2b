// What the stamps of an offer say of its way. Only stamps of one clock are subtracted; what crosses from
// one clock to another says as much about the clocks as about the way, and is labelled so.

const PARTS = [
  ['loginat', 'receivedat', 'from the login to the edge’s having it', 'edge'],
  ['startedat', 'generatedat', 'generating', 'origin'],
  ['generatedat', 'publishedat', 'until it was stored and sent', 'origin'],
  ['receivedat', 'deliveredat', 'at the edge until it was handed over', 'edge'],
];

/**
 * The parts of an offer's way.
 * @param {Record<string, number>} stamps  by name, in ms since the Unix epoch
 * @returns {{ what: string, ms: number, clock: string }[]}
 */
export function hops(stamps) {
  const found = [];
  for (const [from, to, what, clock] of PARTS) {
    if (stamps[from] === undefined || stamps[to] === undefined) continue;
    found.push({ what, ms: stamps[to] - stamps[from], clock });
  }
  return found;
}

/**
 * From the edge's handing over to the arrival here: across two clocks, so only as good as they agree.
 * @param {Record<string, number>} stamps
 * @param {number} arrivedAt  by this browser's clock, in ms since the Unix epoch
 */
export function lastHop(stamps, arrivedAt) {
  return stamps.deliveredat === undefined ? undefined : Math.round(arrivedAt - stamps.deliveredat);
}

/**
 * The header `Headstart-Stamps`, a structured dictionary of integers (RFC 8941).
 * @param {string | null} text
 * @returns {Record<string, number>}
 */
export function stampsOf(text) {
  const stamps = {};
  for (const item of (text ?? '').split(',')) {
    const [name, value] = item.trim().split('=');
    if (name && /^\d+$/.test(value ?? '')) stamps[name] = Number(value);
  }
  return stamps;
}
