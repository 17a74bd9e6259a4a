"use client";

import dynamic from "next/dynamic";
import { useMemo } from "react";
import type { Schemas } from "@/client/api";
import { clock, duration, number } from "@/ui/format";
import { Empty } from "@/ui/states";
import type { RunEvent } from "./useEvents";
import { versionRows } from "./versions";

const VersionsChart = dynamic(() => import("./VersionsChart"), { ssr: false, loading: () => <div className="panel h-52" /> });

const SHOWN = 200;

/** When each version was published, how soon it was served, and what the swap cost. */
export function VersionsTab({ run, events }: { run: Schemas["RunView"]; events: RunEvent[] }) {
  const rows = useMemo(() => versionRows(events, run.evaluations), [events, run.evaluations]);
  if (rows.length === 0) return <Empty title="No version has been published yet">The trainer publishes one after each step.</Empty>;
  return (
    <div className="flex flex-col gap-3">
      <VersionsChart rows={rows} />
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
