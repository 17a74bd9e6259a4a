"use client";

import { useMemo } from "react";
import type { Schemas } from "@/client/api";
import { clock, duration, number } from "@/ui/format";
import { Empty } from "@/ui/states";
import type { RunEvent } from "./useEvents";
import { versionRows, type VersionRow } from "./versions";

const SHOWN = 200;

/** When each version was published, how soon it was served, and what the swap cost. */
export function VersionsTab({ run, events }: { run: Schemas["RunView"]; events: RunEvent[] }) {
  const rows = useMemo(() => versionRows(events, run.evaluations), [events, run.evaluations]);
  if (rows.length === 0) return <Empty title="No version has been published yet">The trainer publishes one after each step.</Empty>;
  return (
    <div className="flex flex-col gap-3">
      <Timeline rows={rows} />
      <div className="panel max-h-[56dvh] overflow-auto" tabIndex={0} role="region" aria-label="Versions">
        <table className="table">
          <thead>
            <tr>
              <th>Version</th>
              <th>Published</th>
              <th className="text-right">After</th>
              <th className="text-right">Served within</th>
              <th className="hidden text-right sm:table-cell">Fetched in</th>
              <th className="hidden text-right sm:table-cell">Decoding stood still</th>
              <th className="text-right">Held-out reward</th>
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, SHOWN).map((row) => (
              <tr key={row.version}>
                <td className="num font-medium">
                  {row.version}
                  {row.version === run.serving_version && <span className="ml-2 text-xs font-normal text-good">serving</span>}
                </td>
                <td className="num text-muted">{clock(row.publishedAt)}</td>
                <td className="num text-right">{duration(row.interval_s)}</td>
                <td className="num text-right">{ms(row.delay_ms)}</td>
                <td className="num hidden text-right sm:table-cell">{ms(row.fetch_ms)}</td>
                <td className="num hidden text-right sm:table-cell">{ms(row.stall_ms)}</td>
                <td className="num text-right">{number(row.evaluation)}</td>
              </tr>
            ))}
          </tbody>
        </table>
        {rows.length > SHOWN && <p className="p-3 text-center text-muted">The newest {SHOWN} of {rows.length.toLocaleString("en")} versions.</p>}
      </div>
    </div>
  );
}

function ms(value: number | null): string {
  return value === null ? "–" : value < 10 ? `${value.toFixed(1)} ms` : duration(value / 1000);
}

/** One line per version at the time of its publication, as tall as it took to be served; evaluations are dots. */
function Timeline({ rows }: { rows: VersionRow[] }) {
  const [first, last] = [Date.parse(rows.at(-1)?.publishedAt ?? ""), Date.parse(rows[0]?.publishedAt ?? "")];
  const slowest = Math.max(1, ...rows.map(({ delay_ms }) => delay_ms ?? 0));
  const x = (row: VersionRow) => `${1 + (98 * (Date.parse(row.publishedAt) - first)) / (last - first || 1)}%`;
  return (
    <figure className="panel px-3 pt-2 pb-1.5">
      <svg width="100%" height={64} role="img" aria-label={`${rows.length} versions between ${clock(first)} and ${clock(last)}; the slowest was served after ${ms(slowest)}`}>
        {rows.map((row) => (
          <g key={row.version}>
            <line x1={x(row)} x2={x(row)} y1={60} y2={60 - 4 - (48 * (row.delay_ms ?? 0)) / slowest} stroke={row.delay_ms === null ? "var(--warn)" : "var(--accent)"} strokeWidth={1.5}>
              <title>{`version ${row.version}, ${clock(row.publishedAt)}, served within ${ms(row.delay_ms)}`}</title>
            </line>
            {row.evaluation !== null && <circle cx={x(row)} cy={5} r={3} fill="var(--good)" />}
          </g>
        ))}
        <line x1="0" x2="100%" y1={60.5} y2={60.5} stroke="var(--line-strong)" />
      </svg>
      <figcaption className="flex justify-between gap-4 text-2xs text-faint">
        <span className="num">{clock(first)}</span>
        <span>height: time until served, at most {ms(slowest)}; orange: never served; green dot: evaluated</span>
        <span className="num">{clock(last)}</span>
      </figcaption>
    </figure>
  );
}
