"use client";

import { useQuery } from "@tanstack/react-query";
import { api, bodyOf } from "@/client/api";
import { dollars } from "@/features/run/cost";

const EVERY_MS = 15_000;

/** What runs, jobs and services have cost together by their meters, and what they cost now. */
export function SpendingMeter() {
  const { data } = useQuery({ queryKey: ["spending"], queryFn: () => bodyOf(api.GET("/api/costs")), refetchInterval: EVERY_MS, retry: false });
  if (!data) return null;
  const { usd, usd_per_hour, runs, jobs, services } = data;
  return (
    <p className="num flex h-7 items-center justify-between gap-2 px-2.5 text-xs text-muted" data-testid="spending" title={`By list prices: runs ${dollars(runs.usd)}, jobs ${dollars(jobs.usd)}, services ${dollars(services.usd)}`}>
      <span>
        Spent <span className="font-medium text-text">{dollars(usd)}</span>
      </span>
      {usd_per_hour > 0 && <span className="text-warn">{dollars(usd_per_hour)} / h</span>}
    </p>
  );
}
