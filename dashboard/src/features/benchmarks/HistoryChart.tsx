"use client";

import { CartesianGrid, Line, LineChart, ResponsiveContainer, Tooltip, XAxis, YAxis } from "recharts";
import { useSmallChartLook } from "@/charts/recharts";
import { duration } from "@/ui/format";
import { KINDS, median, type Kind, type Result } from "./measure";

const DAY_MS = 86_400_000;

/** How the first median of one kind went from measurement to measurement. */
export default function HistoryChart({ kind, results }: { kind: Kind; results: Result[] }) {
  const look = useSmallChartLook();
  const names = results[0]?.samples.map(({ name }) => name) ?? [];
  const data = [...results].reverse().map((result) => ({ at: result.at, ...Object.fromEntries(result.samples.map(({ name, ms }) => [name, median(ms)])) }));
  const isOfOneDay = (data.at(-1)?.at ?? 0) - (data[0]?.at ?? 0) < DAY_MS;
  return (
    <figure className="p-3">
      <figcaption className="flex flex-wrap gap-x-4 pb-2 text-xs text-muted">
        <span className="font-medium text-text">{KINDS[kind].title}</span>
        {names.map((name, i) => (
          <span key={name} className="flex items-center gap-1.5">
            <span className="h-0.5 w-3" style={{ background: look.colorAt(i) }} /> {name.toLowerCase()}
          </span>
        ))}
      </figcaption>
      <div role="img" aria-label={`${KINDS[kind].title}: medians of ${results.length} measurements`} className="h-36">
        <ResponsiveContainer>
          <LineChart data={data} margin={{ top: 6, right: 36, bottom: 0, left: 0 }} accessibilityLayer={false}>
            <CartesianGrid {...look.grid} />
            <XAxis dataKey="at" {...look.axis} minTickGap={48} tickFormatter={(at: number) => new Date(at).toLocaleString("en-GB", isOfOneDay ? { hour: "2-digit", minute: "2-digit", second: "2-digit" } : { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" })} />
            <YAxis width={54} interval={0} tickCount={4} {...look.axis} tickFormatter={(ms: number) => duration(ms / 1000)} />
            <Tooltip {...look.tooltip} labelFormatter={(at) => new Date(Number(at)).toLocaleString("en-GB")} formatter={(ms) => duration(Number(ms) / 1000)} />
            {names.map((name, i) => (
              <Line key={name} dataKey={name} stroke={look.colorAt(i)} strokeWidth={1.6} dot={{ r: 2 }} isAnimationActive={false} />
            ))}
          </LineChart>
        </ResponsiveContainer>
      </div>
    </figure>
  );
}
