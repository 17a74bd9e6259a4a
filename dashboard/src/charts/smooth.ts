/**
 * Smoothing at full resolution, before anything is thinned out: what is drawn then does not depend on the width of the
 * chart. NaN is "not reported" and stays NaN.
 */
export type Smoothing = { kind: "none" } | { kind: "ema"; amount: number } | { kind: "gaussian"; amount: number };

/** The smoothed values; `amount` is 0 (none) to 1 (a flat line). */
export function smooth(xs: Float64Array, ys: Float64Array, smoothing: Smoothing): Float64Array {
  if (smoothing.kind === "none" || smoothing.amount <= 0) return ys;
  return smoothing.kind === "ema" ? ema(xs, ys, smoothing.amount) : gaussian(ys, smoothing.amount);
}

/**
 * Exponential moving average that forgets with distance in x and not with the number of points, so that runs of
 * different density look alike: the unit of distance is one thousandth of the span, or the mean gap of fewer points.
 * Debiased, so that it starts at the first value and not at zero.
 */
export function ema(xs: Float64Array, ys: Float64Array, amount: number): Float64Array {
  const out = new Float64Array(ys.length).fill(NaN);
  const first = xs[0] ?? 0;
  const unit = ((xs.at(-1) ?? 0) - first) / Math.min(Math.max(xs.length - 1, 1), 1000) || 1;
  let [sum, weight, previous] = [0, 0, first - unit];
  for (let i = 0; i < ys.length; i++) {
    const [x, y] = [xs[i] as number, ys[i] as number];
    if (Number.isNaN(y)) continue;
    const keep = Math.pow(Math.min(amount, 0.9999), Math.max((x - previous) / unit, 1e-6));
    sum = sum * keep + y * (1 - keep);
    weight = weight * keep + (1 - keep);
    out[i] = sum / weight;
    previous = x;
  }
  return out;
}

/** A centred average, which does not lag: three passes of a box, close to a Gaussian (central limit). */
export function gaussian(ys: Float64Array, amount: number): Float64Array {
  const radius = Math.max(1, Math.round((ys.length * amount ** 3) / 8));
  let out = ys;
  for (let pass = 0; pass < 3; pass++) out = box(out, radius);
  return out;
}

function box(ys: Float64Array, radius: number): Float64Array {
  const out = new Float64Array(ys.length).fill(NaN);
  let [sum, count] = [0, 0];
  for (let i = -radius; i < ys.length; i++) {
    const entering = ys[i + radius];
    const leaving = ys[i - radius - 1];
    if (entering !== undefined && !Number.isNaN(entering)) [sum, count] = [sum + entering, count + 1];
    if (leaving !== undefined && !Number.isNaN(leaving)) [sum, count] = [sum - leaving, count - 1];
    if (i >= 0 && count > 0 && !Number.isNaN(ys[i] as number)) out[i] = sum / count;
  }
  return out;
}
