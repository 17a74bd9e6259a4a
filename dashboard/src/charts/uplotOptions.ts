/** How a prepared drawing looks in uPlot: per series a band of min and max, a faint mean, and above all lines the smoothed one. */
import type uPlot from "uplot";
import { number } from "@/ui/format";
import { faded, type ChartColors } from "./colors";
import type { Prepared } from "./prepare";

export interface Look {
  colors: ChartColors;
  /** Which colour each series has. */
  colorOf: number[];
  isLog: boolean;
  isSmoothed: boolean;
  xUnit: "step" | "h";
}

/** The series that the pointer is on in a list, or null: the others step back. Asked at every drawing. */
export type Highlighted = () => number | null;

const FONT = "11px Inter Variable, system-ui, sans-serif";

/** Columns in the order of `seriesOf`: for each series low, high, mean; then for each the smoothed line. */
export function columnsOf(prepared: Prepared, isLog: boolean): uPlot.AlignedData {
  const raw = prepared.series.flatMap(({ min, max, mean }) => [min, max, mean]);
  const all = [...raw, ...prepared.series.map(({ smoothed }) => smoothed)];
  return [prepared.xs, ...(isLog ? all.map(positive) : all)] as uPlot.AlignedData;
}

/** Zero and below have no place on a logarithmic axis. */
function positive(values: (number | null)[]): (number | null)[] {
  return values.map((value) => (value !== null && value > 0 ? value : null));
}

export function optionsOf(count: number, look: Look, highlighted: Highlighted, size: { width: number; height: number }): Omit<uPlot.Options, "hooks"> {
  return {
    ...size,
    legend: { show: false },
    padding: [8, 8, 0, 0],
    cursor: { sync: { key: "skyscale" }, y: false, points: { size: 6 }, drag: { x: true, y: false, setScale: false } },
    scales: { x: { time: false }, y: { distr: look.isLog ? 3 : 1, range: look.isLog ? logRange : paddedRange } },
    axes: [axis(look, look.xUnit === "h" ? (value) => `${number(value)} h` : number, 26), axis(look, number, 52)],
    bands: Array.from({ length: count }, (_, i) => ({ series: [2 + 3 * i, 1 + 3 * i] as [number, number] })),
    series: [{}, ...Array.from({ length: count }, (_, i) => rawSeries(i, look, highlighted)).flat(), ...Array.from({ length: count }, (_, i) => smoothedSeries(i, look, highlighted))],
  };
}

/** Bands of many runs lie on each other: together they must not hide the lines. */
const BAND = { alone: 0.12, among: 0.06, back: 0.02 };

function rawSeries(i: number, look: Look, highlighted: Highlighted): uPlot.Series[] {
  const color = colorOf(i, look);
  const band = look.colorOf.length > 1 ? BAND.among : BAND.alone;
  const edge: uPlot.Series = { stroke: "transparent", width: 0, points: { show: false }, spanGaps: true };
  const mean: uPlot.Series = { stroke: () => faded(color, isBack(i, highlighted) ? 0.1 : 0.3), width: 1, points: { show: false }, spanGaps: true, show: look.isSmoothed };
  return [edge, { ...edge, fill: () => faded(color, isBack(i, highlighted) ? BAND.back : band) }, mean];
}

function smoothedSeries(i: number, look: Look, highlighted: Highlighted): uPlot.Series {
  const color = colorOf(i, look);
  return { stroke: () => (isBack(i, highlighted) ? faded(color, 0.25) : color), width: 1.6, points: { show: false }, spanGaps: true };
}

function colorOf(i: number, look: Look): string {
  return look.colors.series[look.colorOf[i] ?? 0] ?? "#888888";
}

function isBack(i: number, highlighted: Highlighted): boolean {
  const chosen = highlighted();
  return chosen !== null && chosen !== i;
}

function axis({ colors }: Look, format: (value: number) => string, size: number): uPlot.Axis {
  return {
    stroke: colors.text,
    font: FONT,
    size,
    gap: 4,
    grid: { stroke: colors.line, width: 1 },
    ticks: { show: false },
    space: size > 40 ? 28 : 64,
    values: (_, splits) => splits.map((value) => (value === null ? "" : format(Math.abs(value) < 1e-12 ? 0 : value))),
  };
}

/** A little room above and below; a flat line gets a range around it. */
function paddedRange(_: uPlot, low: number | null, high: number | null): uPlot.Range.MinMax {
  if (low === null || high === null) return [0, 1];
  const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  return [low >= 0 && low - room < 0 ? 0 : low - room, high + room];
}

/** Whole decades, since only positive values have a logarithm. */
function logRange(_: uPlot, low: number | null, high: number | null): uPlot.Range.MinMax {
  const top = high !== null && high > 0 ? high : 1;
  const bottom = low !== null && low > 0 ? low : top / 1000;
  return [10 ** Math.floor(Math.log10(bottom)), 10 ** Math.ceil(Math.log10(top) + 1e-9)];
}
