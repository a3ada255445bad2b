// What the stamps of an offer say of its way. Only stamps of one clock are subtracted; what crosses from
// one clock to another says as much about the clocks as about the way, and is labelled so.

const PARTS = [
  ['edge', 'loginat', 'receivedat', 'login to offer'],
  ['edge', 'receivedat', 'deliveredat', 'held until handed over'],
  ['origin', 'startedat', 'generatedat', 'generating'],
  ['origin', 'generatedat', 'publishedat', 'storing'],
];

/**
 * The parts of an offer's way, by whose clock they were taken.
 * @param {Record<string, number>} stamps  by name, in ms since the Unix epoch
 * @param {number} arrivedAt  when it was here, by this browser's clock
 * @returns {string[]}
 */
export function hops(stamps, arrivedAt) {
  const told = [];
  for (const clock of ['edge', 'origin']) {
    const parts = PARTS.filter(([whose, from, to]) => whose === clock && from in stamps && to in stamps);
    const spans = parts.map(([, from, to, what]) => `${what} ${stamps[to] - stamps[from]} ms`);
    if (spans.length > 0) told.push(`${clock}’s clock: ${spans.join(', ')}`);
  }
  if ('deliveredat' in stamps) {
    const ms = Math.round(arrivedAt - stamps.deliveredat);
    told.push(`clocks differ: edge to here ${ms} ms`);
  }
  return told;
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
