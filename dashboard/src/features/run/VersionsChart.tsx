"use client";

import { Bar, CartesianGrid, ComposedChart, Line, ResponsiveContainer, Tooltip, XAxis, YAxis } from "recharts";
import { useSmallChartLook } from "@/charts/recharts";
import { clock, duration, number } from "@/ui/format";
import type { VersionRow } from "./versions";

const SHOWN = 300;

/** Per version, how long until it was served, and what it scored on held-out problems where it was evaluated. */
export default function VersionsChart({ rows }: { rows: VersionRow[] }) {
  const look = useSmallChartLook();
  const shown = rows.slice(0, SHOWN).reverse();
  const [first, last] = [shown[0], shown.at(-1)];
  const slowest = Math.max(0, ...shown.map(({ delay_ms }) => delay_ms ?? 0));
  const data = shown.map((row) => ({ version: row.version, delay: row.delay_ms, reward: row.evaluation, at: row.publishedAt }));
  return (
    <figure className="panel px-3 pt-3 pb-2">
      <figcaption className="flex flex-wrap gap-x-4 gap-y-1 pb-2 text-xs text-muted">
        <span className="flex items-center gap-1.5">
          <span className="size-2 rounded-sm" style={{ background: look.colorAt(0) }} /> milliseconds from publication until served
        </span>
        <span className="flex items-center gap-1.5">
          <span className="h-0.5 w-3" style={{ background: look.colorAt(2) }} /> held-out reward
        </span>
        <span className="num ml-auto">
          {first && last && `versions ${first.version} to ${last.version}, ${clock(first.publishedAt)} to ${clock(last.publishedAt)}`}
        </span>
      </figcaption>
      <div role="img" aria-label={`${shown.length} versions; the slowest was served after ${duration(slowest / 1000)}`} className="h-44">
        <ResponsiveContainer>
          <ComposedChart data={data} margin={{ top: 4, right: 0, bottom: 0, left: 0 }} accessibilityLayer={false}>
            <CartesianGrid {...look.grid} />
            <XAxis dataKey="version" {...look.axis} minTickGap={24} />
            <YAxis yAxisId="ms" width={44} {...look.axis} tickFormatter={number} />
            <YAxis yAxisId="reward" orientation="right" width={34} domain={[0, 1]} {...look.axis} />
            <Tooltip {...look.tooltip} labelFormatter={(version) => `version ${version}`} formatter={(value, name) => (name === "delay" ? [`${number(Number(value))} ms`, "served within"] : [number(Number(value)), "held-out reward"])} />
            <Bar yAxisId="ms" dataKey="delay" maxBarSize={18} fill={look.colorAt(0)} fillOpacity={0.7} isAnimationActive={false} />
            <Line yAxisId="reward" dataKey="reward" stroke={look.colorAt(2)} strokeWidth={1.8} dot={{ r: 2.5, fill: look.colorAt(2) }} connectNulls isAnimationActive={false} />
          </ComposedChart>
        </ResponsiveContainer>
      </div>
    </figure>
  );
}
