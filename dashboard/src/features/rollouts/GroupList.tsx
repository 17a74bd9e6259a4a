"use client";

import type { Schemas } from "@/client/api";
import { Ago } from "@/ui/Ago";
import { number, words } from "@/ui/format";
import { useRowKeys } from "@/ui/useRowKeys";

type Row = Schemas["RolloutRow"];

interface Props {
  rows: Row[];
  selected: string | null;
  onSelect: (id: string) => void;
}

/** Groups, newest first; those whose rewards are all equal teach nothing and are marked. */
export function GroupList({ rows, selected, onSelect }: Props) {
  const list = useRowKeys<HTMLUListElement>();
  return (
    <ul ref={list} aria-label="Groups" className="max-h-[34dvh] overflow-y-auto xl:max-h-[72dvh]">
      {rows.map((row) => (
        <li key={row.group_id} className="border-b last:border-b-0">
          <button type="button" data-row aria-current={row.group_id === selected || undefined} onClick={() => onSelect(row.group_id)} className={`flex w-full flex-col gap-1 px-3 py-1.5 text-left ${row.group_id === selected ? "bg-sunken" : "hover:bg-sunken/60"}`}>
            <span className="flex w-full justify-between gap-2">
              <span className="truncate font-mono text-xs font-medium">{row.problem_id}</span>
              <span className="num font-medium">{number(row.reward_mean)}</span>
            </span>
            <Spread row={row} />
            <span className="num flex w-full justify-between gap-2 text-xs text-muted">
              <span>
                v{row.version} · {row.num_passed ?? "–"} of {row.num_completions} passed · <span className={isFlat(row) ? "text-warn" : ""}>{isFlat(row) ? "all equal" : words(row.state)}</span>
                {row.purpose === "eval" && " · held out"}
              </span>
              <Ago time={row.pushed_at} />
            </span>
          </button>
        </li>
      ))}
    </ul>
  );
}

export function isFlat({ reward_min, reward_max }: Row): boolean {
  return reward_min !== null && reward_min === reward_max;
}

/** From the least to the largest reward of the group, on a line from 0 to 1, with the mean as a mark. */
function Spread({ row: { reward_min: low, reward_max: high, reward_mean: mean } }: { row: Row }) {
  if (low === null || high === null || mean === null) return null;
  return (
    <span className="relative block h-1 w-full rounded-full bg-line" aria-hidden="true">
      <span className="absolute h-1 rounded-full bg-accent/45" style={{ left: `${low * 100}%`, width: `${Math.max(1, (high - low) * 100)}%` }} />
      <span className="absolute -top-0.5 h-2 w-0.5 rounded bg-accent" style={{ left: `calc(${mean * 100}% - 1px)` }} />
    </span>
  );
}
