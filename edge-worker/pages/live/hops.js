// Which stamps of an update make which hops of its way, and which of them can be trusted: a difference
// between two clocks holds also how far these are apart.

// The points that an update passes, in their order, whose clock says when, and what the hop that ends
// there is called.
const WAY = [
  { point: 'startedat', clock: 'publisher', hop: '' },
  { point: 'generatedat', clock: 'publisher', hop: 'generating' },
  { point: 'publishedat', clock: 'publisher', hop: 'until published' },
  { point: 'receivedat', clock: 'edge', hop: 'to the edge' },
  { point: 'deliveredat', clock: 'edge', hop: 'in the edge' },
  { point: 'arrivedat', clock: 'browser', hop: 'to this browser' },
];

/**
 * @typedef {object} Hop
 * @property {string} name
 * @property {number} ms Negative where the clocks are further apart than the hop is long.
 * @property {boolean} crossing Whether its two ends are by different clocks.
 */

/**
 * The hops of an update and, where there is more than one, its whole way.
 *
 * @param {Record<string, number | undefined>} stamps As the update has them; any may be missing.
 * @param {number} arrivedat When it arrived, by the browser's clock.
 * @param {boolean} publishedHere Whether this browser published it, so that `publishedat` is by its clock.
 * @returns {{hops: Hop[], whole: Hop | undefined}}
 */
export function hopsOf(stamps, arrivedat, publishedHere = false) {
  const at = { ...stamps, arrivedat };
  const passed = WAY.filter(({ point }) => Number.isFinite(at[point])).map((step) =>
    publishedHere && step.clock === 'publisher' ? { ...step, clock: 'browser' } : step,
  );
  const between = (from, to, name) => ({
    name,
    ms: at[to.point] - at[from.point],
    crossing: from.clock !== to.clock,
  });
  const hops = passed.slice(1).map((to, index) => between(passed[index], to, to.hop));
  const whole = hops.length > 1 ? between(passed[0], passed.at(-1), 'in all') : undefined;
  return { hops, whole };
}
