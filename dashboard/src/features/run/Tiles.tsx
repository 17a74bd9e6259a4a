"use client";

import type { ReactNode } from "react";
import type { Schemas } from "@/client/api";
import { Sparkline } from "@/charts/Sparkline";
import { dollars, meterNote } from "./cost";
import { duration, number, percent, seconds } from "@/ui/format";
import { useNow } from "@/ui/useNow";

/** The numbers that say how a run is doing. */
export function Tiles({ run }: { run: Schemas["RunView"] }) {
  const now = useNow(1_000);
  const rewards = run.metrics.map(({ episode_reward }) => episode_reward);
  const reported = rewards.filter((reward): reward is number => reward !== null);
  const last = run.metrics.at(-1)?.metrics ?? {};
  const [first, newest] = [run.evaluations[0], run.evaluations.at(-1)];
  const meter = run.cost ?? null;
  const elapsed = seconds(run.created_at, run.ended_at ?? (now || null));
  return (
    <dl className={`grid grid-cols-2 gap-px border-y bg-line sm:grid-cols-3 ${meter ? "xl:grid-cols-7" : "xl:grid-cols-6"}`}>
      <Tile name="Reward" value={number(reported.at(-1))} note={change(reported)} testId="reward">
        <Sparkline values={rewards} width={72} />
      </Tile>
      <Tile name="Held-out reward" value={number(newest?.reward)} note={first && newest && first !== newest ? `${number(first.reward)} at version ${first.version}` : newest ? `version ${newest.version}` : "not evaluated yet"} />
      <Tile name="Version" value={number(run.policy_version)} note={`${run.spec.max_steps ? `of ${number(run.spec.max_steps)}, ` : ""}serving ${run.serving_version}`} />
      <Tile name="Trajectories" value={number(run.trajectories)} note={`${number(run.buffer_size)} waiting`} />
      <Tile name="Throughput" value={`${number(last["tokens_per_s"])}`} note={`tokens/s, waits ${percent(last["wait_share"])}`} />
      {meter && <Tile name="Cost" value={dollars(meter.usd)} note={meterNote(meter)} testId="cost" />}
      <Tile name="Time" value={duration(elapsed === null ? null : Math.floor(elapsed))} note={run.ended_at ? "from start to end" : "since it was created"} />
    </dl>
  );
}

function Tile({ name, value, note, testId, children }: { name: string; value: string; note: string; testId?: string; children?: ReactNode }) {
  return (
    <div className="flex min-w-0 flex-col bg-panel px-4 py-2.5 md:first:pl-6 max-sm:last:odd:col-span-2 sm:max-xl:last:nth-[3n+1]:col-span-3">
      <dt className="text-xs text-muted">{name}</dt>
      <dd className="flex items-center justify-between gap-2">
        <span className="num text-[17px] leading-7 font-semibold tracking-tight" data-testid={testId}>
          {value}
        </span>
        {children}
      </dd>
      <dd className="num truncate text-xs text-muted" title={note}>
        {note}
      </dd>
    </div>
  );
}

function change(rewards: number[]): string {
  const [first, last] = [rewards[0], rewards.at(-1)];
  if (first === undefined || last === undefined || rewards.length < 2) return "no step yet";
  const by = last - first;
  return `${by >= 0 ? "+" : "−"}${number(Math.abs(by))} over ${rewards.length} steps`;
}
