// Medians and percentiles of the waits of past runs.

/**
 * By nearest rank: the smallest value that `of100` of a hundred do not exceed.
 * @param {number[]} values
 * @param {number} of100
 */
export function percentile(values, of100) {
  if (values.length === 0) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.ceil((sorted.length * of100) / 100) - 1];
}
