"use client";

import { useQuery } from "@tanstack/react-query";
import { api, bodyOf, type Schemas } from "@/client/api";
import { prepare } from "@/charts/prepare";
import { Sparkline } from "@/charts/Sparkline";

const BUCKETS = 40;
const LIVE_EVERY_MS = 10_000;

/** The reward of a run from its start; every ten seconds again while the run is live. */
export function RewardSparkline({ run, isLive }: { run: Schemas["RunSummary"]; isLive: boolean }) {
  const { data } = useQuery({
    queryKey: ["reward", run.run_id],
    queryFn: () => bodyOf(api.GET("/api/rl/runs/{run_id}/metrics", { params: { path: { run_id: run.run_id }, query: { keys: "episode_reward", limit: 10_000 } } })),
    staleTime: isLive ? LIVE_EVERY_MS : Infinity,
    refetchInterval: isLive ? LIVE_EVERY_MS : false,
    select: points,
  });
  return <Sparkline values={data ?? []} />;
}

function points({ step, series }: Schemas["MetricsColumns"]): (number | null)[] {
  const ys = Float64Array.from(series["episode_reward"] ?? [], (value) => value ?? NaN);
  return prepare([{ label: "", xs: Float64Array.from(step), ys }], { range: null, buckets: BUCKETS, smoothing: { kind: "none" } }).series[0]?.mean ?? [];
}
