"use client";

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, bodyOf, type Schemas } from "@/client/api";
import { number, words } from "@/ui/format";
import { Loaded } from "@/ui/states";
import { CompletionCard } from "./CompletionCard";
import type { Overlay } from "./heat";
import { HeatLegend } from "./HeatLegend";

type Detail = Schemas["RolloutDetail"];
const OVERLAYS: readonly (readonly [Overlay, string])[] = [
  ["none", "Plain"],
  ["logprob", "Log probability"],
  ["version", "Version"],
];

/** One group: what was asked, and everything that was answered. */
export function GroupView({ runId, groupId, search }: { runId: string; groupId: string; search: string }) {
  const { data, error, refetch } = useQuery({
    queryKey: ["rollout", runId, groupId],
    queryFn: () => bodyOf(api.GET("/api/rl/runs/{run_id}/rollouts/{group_id}", { params: { path: { run_id: runId, group_id: groupId } } })),
    staleTime: 60_000,
  });
  return (
    <Loaded data={data} error={error} onRetry={() => void refetch()}>
      {(detail) => <Group detail={detail} search={search} />}
    </Loaded>
  );
}

function Group({ detail, search }: { detail: Detail; search: string }) {
  const [overlay, setOverlay] = useState<Overlay>("logprob");
  const { rollout, completions } = detail;
  const range = versionsOf(completions ?? []);
  return (
    <section aria-label={`Group ${rollout.group_id}`} className="flex min-w-0 flex-col gap-3">
      <Asked detail={detail} />
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
        <h3 className="mr-auto font-medium">
          {rollout.num_completions} completions <span className="num font-normal text-muted">mean reward {number(rollout.reward_mean)}{rollout.num_dropped > 0 && `, ${rollout.num_dropped} lost to our infrastructure`}</span>
        </h3>
        <HeatLegend overlay={overlay} versions={range} />
        <div role="group" aria-label="Colour tokens by" className="flex rounded-md border border-line-strong bg-panel p-px">
          {OVERLAYS.map(([id, text]) => (
            <button key={id} type="button" aria-pressed={id === overlay} onClick={() => setOverlay(id)} className={`h-6 rounded-[5px] px-2 text-xs ${id === overlay ? "bg-sunken font-medium" : "text-muted hover:text-text"}`}>
              {text}
            </button>
          ))}
        </div>
      </div>
      {completions === null ? (
        <p className="panel p-6 text-center text-muted">What was written in this group is no longer kept. SKYSCALE_ROLLOUTS_KEEP decides how much is.</p>
      ) : (
        <div className="grid gap-3 md:grid-cols-2 2xl:grid-cols-3">
          {completions.map((completion, i) => (
            <CompletionCard key={completion.episode_id} completion={completion} number={i + 1} baseline={rollout.reward_mean} overlay={overlay} versions={range} search={search} />
          ))}
        </div>
      )}
    </section>
  );
}

function Asked({ detail: { rollout, problem, messages } }: { detail: Detail }) {
  const last = messages.at(-1);
  return (
    <div className="panel">
      <p className="num flex flex-wrap gap-x-3 border-b px-3 py-2 text-xs text-muted">
        <span className="font-mono font-medium text-text">{rollout.problem_id}</span>
        {problem && (
          <span>
            {problem.difficulty}, {problem.split}
          </span>
        )}
        <span>version {rollout.version}</span>
        <span>{words(rollout.state)}</span>
        <span className="font-mono">{rollout.group_id}</span>
      </p>
      <p className="px-3 py-2 whitespace-pre-wrap">{last?.["content"] ?? problem?.prompt ?? "–"}</p>
      {messages.length > 1 && (
        <details className="border-t">
          <summary className="px-3 py-1.5 text-xs text-muted select-none">The whole chat, {messages.length} messages</summary>
          {messages.map((message, i) => (
            <p key={i} className="px-3 py-1.5 text-xs whitespace-pre-wrap">
              <span className="text-muted">{message["role"]}: </span>
              {message["content"]}
            </p>
          ))}
        </details>
      )}
    </div>
  );
}

function versionsOf(completions: Schemas["RolloutCompletion"][]): { first: number; last: number } {
  const all = completions.flatMap(({ min_version, max_version }) => [min_version, max_version]).filter((version): version is number => version !== null);
  return { first: all.length > 0 ? Math.min(...all) : 0, last: all.length > 0 ? Math.max(...all) : 0 };
}
