// What a chart shows: the last minutes, a point each second.

/** How far back charts reach, in seconds. */
export const WINDOW = 300;

/** Points in time, each with as many values. */
export class Series {
  /** @param {number} width How many values a point has. */
  constructor(width) {
    /** Seconds since the Unix epoch, then each value over time: as uPlot takes it. */
    this.data = Array.from({ length: width + 1 }, () => []);
  }

  /**
   * Adds a point and drops those that are too old.
   *
   * @param {number} second
   * @param {(number | undefined)[]} values
   */
  add(second, values) {
    const [times, ...columns] = this.data;
    times.push(second);
    columns.forEach((column, index) => column.push(values[index] ?? null));
    const old = times.findIndex((time) => time > second - WINDOW);
    for (const column of this.data) column.splice(0, old);
  }
}
