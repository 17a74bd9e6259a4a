import { expect, test } from "vitest";
import { History } from "@/charts/history";
import { prepare, type Series } from "@/charts/prepare";
import { ema, gaussian } from "@/charts/smooth";

function series(ys: number[], label = "a", xs = ys.map((_, i) => i)): Series {
  return { label, xs: Float64Array.from(xs), ys: Float64Array.from(ys) };
}

function wave(count: number, phase = 0): Series {
  const random = mulberry32(7 + phase);
  return series(Array.from({ length: count }, (_, i) => Math.sin(i / 900 + phase) + random() - 0.5), `s${phase}`);
}

function mulberry32(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const NONE = { kind: "none" } as const;

test("few points are drawn as they are", () => {
  const shown = prepare([series([1, 2, 3])], { range: null, buckets: 400, smoothing: NONE });
  expect(shown).toMatchObject({ xs: [0, 1, 2], isThinned: false, numPoints: 3 });
  expect(shown.series[0]).toMatchObject({ mean: [1, 2, 3], min: [1, 2, 3], max: [1, 2, 3], last: 3 });
});

test("thinning out keeps the mean and every extreme of a bucket", () => {
  const ys = Array.from({ length: 1000 }, (_, i) => (i === 503 ? 99 : i === 504 ? -99 : 1));
  const shown = prepare([series(ys)], { range: null, buckets: 100, smoothing: NONE });
  expect(shown.xs).toHaveLength(100);
  expect(Math.max(...(shown.series[0]?.max as number[]))).toBe(99);
  expect(Math.min(...(shown.series[0]?.min as number[]))).toBe(-99);
  expect((shown.series[0]?.mean as number[]).reduce((a, b) => a + b) / 100).toBeCloseTo(1, 1);
});

test("runs with different steps share one grid and keep their gaps", () => {
  const shown = prepare([series([1, 2], "a", [0, 2]), series([5, 6], "b", [1, 2])], { range: null, buckets: 400, smoothing: NONE });
  expect(shown.xs).toEqual([0, 1, 2]);
  expect(shown.series.map((each) => each.mean)).toEqual([[1, null, 2], [null, 5, 6]]);
});

test("what is not reported is not zero", () => {
  const shown = prepare([series([1, NaN, 3])], { range: null, buckets: 400, smoothing: { kind: "ema", amount: 0.9 } });
  expect(shown.series[0]?.mean).toEqual([1, null, 3]);
  expect(shown.series[0]?.smoothed[1]).toBeNull();
  expect(prepare([series([NaN, NaN])], { range: null, buckets: 10, smoothing: NONE }).series[0]?.last).toBeNull();
});

test("a range cuts both ends, borders included", () => {
  const shown = prepare([series([0, 1, 2, 3, 4])], { range: [1, 3], buckets: 400, smoothing: NONE });
  expect(shown.xs).toEqual([1, 2, 3]);
});

test("smoothing does not depend on how wide the chart is", () => {
  const [narrow, wide] = [50, 5000].map((buckets) => prepare([wave(10_000)], { range: null, buckets, smoothing: { kind: "ema", amount: 0.99 } }));
  expect(narrow?.series[0]?.last).toBe(wide?.series[0]?.last);
  expect(narrow?.series[0]?.smoothed[25]).toBeCloseTo(wide?.series[0]?.smoothed[2550] as number, 1);
});

test("an exponential average is debiased and of a constant constant", () => {
  const { xs, ys } = series(Array.from({ length: 50 }, () => 4));
  expect([...ema(xs, ys, 0.99)].every((y) => Math.abs(y - 4) < 1e-9)).toBe(true);
  expect(ema(xs, ys, 0.99)[0]).toBeCloseTo(4);
});

test("a centred average does not lag behind a step", () => {
  const { ys } = series(Array.from({ length: 200 }, (_, i) => (i < 100 ? 0 : 1)));
  const smoothed = gaussian(ys, 0.6);
  expect((smoothed[99] as number) + (smoothed[100] as number)).toBeCloseTo(1);
});

test("nothing to draw is an empty drawing", () => {
  expect(prepare([], { range: null, buckets: 10, smoothing: NONE })).toMatchObject({ xs: [], series: [], numPoints: 0 });
  expect(prepare([series([])], { range: null, buckets: 10, smoothing: NONE }).xs).toEqual([]);
});

test("10,000 points of 4 series are prepared within 50 ms", () => {
  const all = [0, 1, 2, 3].map((phase) => wave(10_000, phase));
  const options = { range: null, buckets: 400, smoothing: { kind: "ema", amount: 0.9 } } as const;
  const times = Array.from({ length: 15 }, () => {
    const start = performance.now();
    prepare(all, options);
    return performance.now() - start;
  }).sort((a, b) => a - b);
  // The best of them: the machine may be busy, the algorithm must not be.
  console.log(`prepare 4 x 10,000: best ${times[0]?.toFixed(1)} ms, median ${times[7]?.toFixed(1)} ms`);
  expect(times[0]).toBeLessThan(50);
});

test("a history grows, ignores repetitions and knows what was never reported", () => {
  const history = new History();
  const news = { run_id: "rl-a", after: 2, step: [1, 2], timestamp: [0, 3_600_000], series: { loss: [0.5, null], gpu_util: [null, null] } };
  expect(history.append(news)).toBe(true);
  expect(history.append(news)).toBe(false);
  expect(history.length).toBe(2);
  expect(history.names()).toEqual(["loss"]);
  expect(history.last("loss")).toBe(0.5);
  expect([...history.series("loss", "hours").xs]).toEqual([0, 1]);
  const many = Array.from({ length: 1000 }, (_, i) => i + 3);
  history.append({ run_id: "rl-a", after: 1002, step: many, timestamp: many, series: { entropy: many } });
  expect(history.series("entropy", "step").ys[1]).toBeNaN();
  expect(history.series("entropy", "step").ys.at(-1)).toBe(1002);
  expect(history.series("loss", "step").ys.at(-1)).toBeNaN();
});
