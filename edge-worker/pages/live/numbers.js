// Percentiles.

/**
 * The smallest of the values that so many of a hundred do not exceed, as the edge reckons its own;
 * undefined where there are none.
 *
 * @param {number[]} values
 * @param {number} of100
 * @returns {number | undefined}
 */
export function percentile(values, of100) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.ceil((sorted.length * of100) / 100) - 1];
}
