/**
 * From whole series to what a chart draws. Pure, and the only place that decides what is shown:
 *
 *   smooth at full resolution -> cut to the range -> at most `buckets` points on one grid: mean, min, max, smoothed
 *
 * Series of several runs have different x; they share one grid, because the chart library wants one. With few points
 * the grid is the points themselves and nothing is thinned out.
 */
import { smooth, type Smoothing } from "./smooth";

export interface Series {
  label: string;
  xs: Float64Array;
  /** NaN where nothing was reported. */
  ys: Float64Array;
}

export interface Drawn {
  label: string;
  mean: (number | null)[];
  min: (number | null)[];
  max: (number | null)[];
  smoothed: (number | null)[];
  /** The last value in the range, smoothed: what a list is sorted by. */
  last: number | null;
}

export interface Prepared {
  xs: number[];
  series: Drawn[];
  /** Points in the range before thinning out. */
  numPoints: number;
  isThinned: boolean;
}

export interface Options {
  range: readonly [number, number] | null;
  buckets: number;
  smoothing: Smoothing;
}

export function prepare(series: Series[], { range, buckets, smoothing }: Options): Prepared {
  const cut = series.map((each) => within(each, range));
  const numPoints = cut.reduce((sum, { from, to }) => sum + to - from, 0);
  const exact = unionOf(series, cut, buckets);
  const grid = exact ?? even(series, cut, buckets);
  const drawn = series.map((each, i) => draw(each, cut[i] as Cut, grid, exact !== null, smoothing));
  return { xs: [...grid], series: drawn, numPoints, isThinned: exact === null };
}

interface Cut {
  from: number;
  to: number;
}

/** The part of a series that lies in the range, by index; xs rise. */
function within({ xs }: Series, range: readonly [number, number] | null): Cut {
  if (range === null) return { from: 0, to: xs.length };
  return { from: lowerBound(xs, range[0]), to: lowerBound(xs, range[1] + Number.EPSILON * Math.abs(range[1])) };
}

export function lowerBound(xs: ArrayLike<number>, x: number): number {
  let [low, high] = [0, xs.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((xs[middle] as number) < x) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** All distinct x in the range, or null when they are more than `limit`. */
function unionOf(series: Series[], cut: Cut[], limit: number): Float64Array | null {
  const all = new Set<number>();
  for (let s = 0; s < series.length; s++) {
    const { from, to } = cut[s] as Cut;
    if (to - from > limit) return null;
    for (let i = from; i < to; i++) all.add((series[s] as Series).xs[i] as number);
    if (all.size > limit) return null;
  }
  return Float64Array.from(all).sort();
}

/** The middles of `count` equal buckets over everything in the range. */
function even(series: Series[], cut: Cut[], count: number): Float64Array {
  let [low, high] = [Infinity, -Infinity];
  series.forEach(({ xs }, i) => {
    const { from, to } = cut[i] as Cut;
    if (to === from) return;
    low = Math.min(low, xs[from] as number);
    high = Math.max(high, xs[to - 1] as number);
  });
  const width = (high - low) / count;
  return Float64Array.from({ length: count }, (_, i) => low + (i + 0.5) * width);
}

function draw({ label, xs, ys }: Series, { from, to }: Cut, grid: Float64Array, isExact: boolean, smoothing: Smoothing): Drawn {
  const smoothed = smooth(xs, ys, smoothing);
  const sums = new Sums(grid.length);
  const half = grid.length > 1 ? ((grid[1] as number) - (grid[0] as number)) / 2 : 1;
  let bucket = 0;
  for (let i = from; i < to; i++) {
    const x = xs[i] as number;
    while (bucket < grid.length - 1 && (isExact ? (grid[bucket] as number) < x : (grid[bucket] as number) + half < x)) bucket++;
    sums.add(bucket, ys[i] as number, smoothed[i] as number);
  }
  return { label, ...sums.columns(), last: lastNumber(smoothed, from, to) };
}

class Sums {
  private readonly sum: Float64Array;
  private readonly smoothed: Float64Array;
  private readonly count: Int32Array;
  private readonly low: Float64Array;
  private readonly high: Float64Array;

  constructor(length: number) {
    this.sum = new Float64Array(length);
    this.smoothed = new Float64Array(length);
    this.count = new Int32Array(length);
    this.low = new Float64Array(length).fill(Infinity);
    this.high = new Float64Array(length).fill(-Infinity);
  }

  add(bucket: number, y: number, smoothed: number): void {
    if (Number.isNaN(y)) return;
    this.sum[bucket] = (this.sum[bucket] as number) + y;
    this.smoothed[bucket] = (this.smoothed[bucket] as number) + smoothed;
    this.count[bucket] = (this.count[bucket] as number) + 1;
    if (y < (this.low[bucket] as number)) this.low[bucket] = y;
    if (y > (this.high[bucket] as number)) this.high[bucket] = y;
  }

  columns(): Pick<Drawn, "mean" | "min" | "max" | "smoothed"> {
    const per = (value: (i: number, count: number) => number) => Array.from(this.count, (count, i) => (count > 0 ? value(i, count) : null));
    return {
      mean: per((i, count) => (this.sum[i] as number) / count),
      min: per((i) => this.low[i] as number),
      max: per((i) => this.high[i] as number),
      smoothed: per((i, count) => (this.smoothed[i] as number) / count),
    };
  }
}

function lastNumber(values: Float64Array, from: number, to: number): number | null {
  for (let i = to - 1; i >= from; i--) if (!Number.isNaN(values[i] as number)) return values[i] as number;
  return null;
}
