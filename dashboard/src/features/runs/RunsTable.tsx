"use client";

import Link from "next/link";
import { memo, useCallback, useEffect, useRef, useState } from "react";
import type { Schemas } from "@/client/api";
import { dollars } from "@/features/run/cost";
import { Ago } from "@/ui/Ago";
import { duration, number, seconds, words } from "@/ui/format";
import { SearchInput } from "@/ui/SearchInput";
import { Status } from "@/ui/Status";
import { useNow } from "@/ui/useNow";
import { useRowKeys } from "@/ui/useRowKeys";
import { RewardSparkline } from "./RewardSparkline";
import { isLive, sorted, type SortKey } from "./rules";

interface Props {
  runs: Schemas["RunSummary"][];
  /** Runs whose charts are shown, in the order of their colours. */
  shown: string[];
  ticked: string[];
  search: string;
  onSearch: (search: string) => void;
  onTick: (ids: string[]) => void;
  onHighlight: (id: string | null) => void;
}

export function RunsTable({ runs, shown, ticked, search, onSearch, onTick, onHighlight }: Props) {
  const [sort, setSort] = useState<{ key: SortKey; isDown: boolean }>({ key: "created_at", isDown: true });
  const rows = useRowKeys<HTMLTableSectionElement>();
  const head = (key: SortKey, label: string, className = "") => (
    <th aria-sort={sort.key === key ? (sort.isDown ? "descending" : "ascending") : undefined} className={className}>
      <button type="button" className="font-medium hover:text-text" onClick={() => setSort({ key, isDown: sort.key === key ? !sort.isDown : true })}>
        {label}
        {sort.key === key && <span aria-hidden="true">{sort.isDown ? " ↓" : " ↑"}</span>}
      </button>
    </th>
  );
  const hasCost = runs.some(({ cost_usd }) => typeof cost_usd === "number");
  const latest = useRef({ ticked, onTick });
  useEffect(() => {
    latest.current = { ticked, onTick };
  });
  const tick = useCallback((id: string) => {
    const { ticked: before, onTick: tell } = latest.current;
    tell(before.includes(id) ? before.filter((each) => each !== id) : [...before, id]);
  }, []);
  return (
    <section className="panel overflow-hidden" aria-label="Runs">
      <div className="flex flex-wrap items-center gap-3 border-b p-2">
        <SearchInput value={search} onChange={onSearch} label="Search runs" />
        <span className="text-muted">{ticked.length > 0 ? `${ticked.length} ticked` : "Tick runs to compare them"}</span>
        {ticked.length > 0 && (
          <button type="button" className="text-accent hover:underline" onClick={() => onTick([])}>
            Untick all
          </button>
        )}
      </div>
      <div className="max-h-[46dvh] overflow-auto" tabIndex={0} role="region" aria-label="List of runs">
        <table className="table">
          <thead>
            <tr>
              <th className="w-8">
                <span className="sr-only">Compare</span>
              </th>
              <th>Run</th>
              {head("status", "Status")}
              {head("last_reward", "Reward", "text-right")}
              <th className="hidden sm:table-cell">
                <span className="sr-only">Reward over time</span>
              </th>
              {head("policy_version", "Version", "hidden text-right sm:table-cell")}
              <th className="hidden md:table-cell">Model</th>
              <th className="hidden text-right lg:table-cell">Duration</th>
              {hasCost && <th className="hidden text-right md:table-cell">Cost</th>}
              {head("created_at", "Created", "hidden text-right sm:table-cell")}
            </tr>
          </thead>
          <tbody ref={rows}>
            {sorted(runs, sort.key, sort.isDown).map((run) => (
              <Row key={run.run_id} run={run} color={shown.indexOf(run.run_id)} isTicked={ticked.includes(run.run_id)} hasCost={hasCost} onTick={tick} onHighlight={onHighlight} />
            ))}
          </tbody>
        </table>
        {runs.length === 0 && <p className="p-6 text-center text-muted">No run matches “{search}”.</p>}
      </div>
    </section>
  );
}

interface RowProps {
  run: Schemas["RunSummary"];
  color: number;
  isTicked: boolean;
  hasCost: boolean;
  onTick: (id: string) => void;
  onHighlight: (id: string | null) => void;
}

/** Drawn anew for its own news only: pointing at one of two hundred rows touches no other. */
const Row = memo(function Row({ run, color, isTicked, hasCost, onTick, onHighlight }: RowProps) {
  const now = useNow(1_000);
  const elapsed = seconds(run.created_at, run.ended_at ?? (now || null));
  return (
    <tr onMouseEnter={() => onHighlight(run.run_id)} onMouseLeave={() => onHighlight(null)}>
      <td>
        <input type="checkbox" checked={isTicked} onChange={() => onTick(run.run_id)} aria-label={`Compare ${run.run_id}`} className="block accent-(--accent)" />
      </td>
      <td>
        <Link data-row href={`/run?id=${run.run_id}`} className="flex items-center gap-2 font-mono text-xs font-medium hover:text-accent hover:underline">
          {color >= 0 && <span className="size-2 shrink-0 rounded-full" style={{ background: `var(--s${(color % 8) + 1})` }} />}
          {run.run_id}
        </Link>
      </td>
      <td>
        <span className="flex items-center gap-2">
          <Status status={run.status} />
          {run.stage && <span className="hidden text-muted xl:inline">{words(run.stage)}</span>}
          {run.reason && <span className="hidden max-w-[28ch] truncate text-muted xl:inline" title={run.reason}>{run.reason}</span>}
        </span>
      </td>
      <td className="num text-right font-medium">{number(run.last_reward)}</td>
      <td className="hidden sm:table-cell">
        <RewardSparkline run={run} isLive={isLive(run)} />
      </td>
      <td className="num hidden text-right sm:table-cell">{run.policy_version}</td>
      <td className="hidden max-w-[24ch] truncate text-muted md:table-cell" title={run.base_model}>{run.base_model}</td>
      <td className="num hidden text-right whitespace-nowrap text-muted lg:table-cell">{duration(elapsed === null ? null : Math.floor(elapsed))}</td>
      {hasCost && <td className="num hidden text-right md:table-cell">{dollars(run.cost_usd)}</td>}
      <td className="hidden text-right text-muted sm:table-cell">
        <Ago time={run.created_at} />
      </td>
    </tr>
  );
});
