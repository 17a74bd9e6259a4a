"use client";

import { memo, useMemo, useState, type RefCallback } from "react";
import { number } from "@/ui/format";
import type { ChartKind } from "./catalog";
import { NUM_COLORS, useChartColors, type ChartColors } from "./colors";
import type { History } from "./history";
import { LineChart } from "./LineChart";
import { prepare, type Prepared, type Series } from "./prepare";
import type { Look } from "./uplotOptions";
import { useIsNear } from "./useIsNear";
import type { ViewSettings } from "./viewSettings";

const BUCKETS = 400;
const NOTHING: Prepared = { xs: [], series: [], numPoints: 0, isThinned: false };

interface Props {
  kind: ChartKind;
  runs: readonly string[];
  histories: ReadonlyMap<string, History>;
  /** Grows with the histories. */
  version: number;
  /** More is on its way: an empty chart says so instead of that nothing was reported. */
  isReading: boolean;
  view: ViewSettings;
  range: readonly [number, number] | null;
  highlighted: number | null;
  height?: number;
  onZoom: (range: readonly [number, number] | null) => void;
}

/** One chart: several metrics of one run, or one metric of several runs. Far from the window it stays as it is. */
export function ChartPanel(props: Props) {
  const [place, isNear] = useIsNear<HTMLElement>();
  return <Panel {...props} place={place} isNear={isNear} />;
}

interface PanelProps extends Props {
  place: RefCallback<HTMLElement>;
  isNear: boolean;
}

const Panel = memo(
  function Panel({ kind, runs, histories, version, isReading, view, range, highlighted, height = 190, onZoom, place, isNear }: PanelProps) {
    const colors = useChartColors();
    const [cursor, setCursor] = useState<number | null>(null);
    const prepared = useMemo(() => {
      if (!isNear) return NOTHING;
      performance.mark("chart-start");
      const result = prepare(seriesOf(kind, runs, histories, view), { range, buckets: BUCKETS, smoothing: view.smoothing });
      performance.measure("chart-prepare", "chart-start");
      return result;
      // `version` stands for what is inside the histories.
      // eslint-disable-next-line react-hooks/exhaustive-deps
    }, [kind, runs, histories, version, view, range, isNear]);
    const count = prepared.series.length;
    const look = useMemo(() => lookOf(count, colors, view), [count, colors, view]);
    const isEmpty = prepared.series.every(({ last }) => last === null);
    return (
      <section ref={place} className="panel flex min-w-0 flex-col" aria-label={kind.title} data-chart={kind.id} data-points={prepared.numPoints}>
        <header className="flex items-center justify-between gap-3 px-3 pt-2.5">
          <h3 className="font-medium" title={kind.about}>
            {kind.title}
          </h3>
          <Legend prepared={prepared} cursor={cursor} colors={colors.series} isMany={runs.length > 1} />
        </header>
        {isEmpty ? (
          <p className="flex items-center justify-center text-muted" style={{ height }}>
            {isReading ? "Reading …" : isNear ? "Not reported yet" : ""}
          </p>
        ) : (
          <LineChart prepared={prepared} look={look} highlighted={highlighted} height={height} label={`${kind.title}: ${kind.about}. ${describe(prepared)}`} onCursor={setCursor} onZoom={onZoom} />
        )}
        <footer className="flex justify-between gap-2 px-3 pb-2 text-2xs text-faint">
          <span className="truncate" title={kind.about}>
            {kind.about}
          </span>
          <span className="num whitespace-nowrap">{prepared.isThinned ? `${number(prepared.numPoints)} points, ${prepared.xs.length} buckets` : `${number(prepared.numPoints)} points`}</span>
        </footer>
      </section>
    );
  },
  (_, next) => !next.isNear,
);

function lookOf(count: number, colors: ChartColors, { isLog, smoothing, axis }: ViewSettings): Look {
  const colorOf = Array.from({ length: count }, (_, i) => i % NUM_COLORS);
  return { colors, colorOf, isLog, isSmoothed: smoothing.amount > 0, xUnit: axis === "step" ? "step" : "h" };
}

function seriesOf(kind: ChartKind, runs: readonly string[], histories: ReadonlyMap<string, History>, view: ViewSettings): Series[] {
  const [only] = runs;
  if (runs.length === 1 && only !== undefined) {
    const history = histories.get(only);
    return history ? kind.keys.map((key) => history.series(key, view.axis)) : [];
  }
  return runs.flatMap((id) => histories.get(id)?.series(kind.keys[0], view.axis, id) ?? []);
}

function describe({ series }: Prepared): string {
  return series.map(({ label, last }) => `${label} ${number(last)}`).join(", ");
}

/** The values under the pointer, or the newest. With many runs the list of runs is the legend. */
function Legend({ prepared, cursor, colors, isMany }: { prepared: Prepared; cursor: number | null; colors: string[]; isMany: boolean }) {
  const at = cursor === null ? null : prepared.xs[cursor];
  return (
    <p className="num flex min-w-0 flex-wrap justify-end gap-x-3 text-xs text-muted">
      {at !== null && at !== undefined && <span>at {number(at)}</span>}
      {prepared.series.map(({ label, smoothed, last }, i) =>
        last === null && !isMany ? null : (
          <span key={label} className="flex items-center gap-1.5">
            <span className="h-0.5 w-2.5 rounded" style={{ background: colors[i % NUM_COLORS] }} />
            {!isMany && prepared.series.length > 1 && label.replaceAll("_", " ")}
            <span className="font-medium text-text">{number(cursor === null ? last : smoothed[cursor])}</span>
          </span>
        ),
      )}
    </p>
  );
}
