"use client";

import { useSearchParams } from "next/navigation";
import type { Schemas } from "@/client/api";
import type { paths } from "@/client/schema";
import { replaceQuery } from "@/ui/useQueryState";

type Query = NonNullable<paths["/api/rl/runs/{run_id}/rollouts"]["get"]["parameters"]["query"]>;

export const FILTERS = ["text", "problem", "purpose", "state", "outcome", "min_version", "max_version", "min_reward", "max_reward"] as const;
export type RolloutFilter = Record<(typeof FILTERS)[number], string>;

export const PURPOSES: Schemas["Purpose"][] = ["train", "eval"];
export const OUTCOMES: Schemas["Outcome"][] = ["scored", "truncated", "infrastructure_failure"];
export const STATES = ["waiting", "leased", "acked", "consumed", "flat", "stale", "failed"];

/** The filter of the page's address, so that a find can be shared. */
export function useRolloutFilter(): [RolloutFilter, (change: Partial<RolloutFilter>) => void] {
  const params = useSearchParams();
  const filter = Object.fromEntries(FILTERS.map((name) => [name, params.get(`r_${name}`) ?? ""])) as RolloutFilter;
  const change = (part: Partial<RolloutFilter>) => {
    const next = new URLSearchParams(window.location.search);
    next.delete("group");
    for (const [name, value] of Object.entries(part)) {
      if (value) next.set(`r_${name}`, value);
      else next.delete(`r_${name}`);
    }
    replaceQuery(next);
  };
  return [filter, change];
}

/** The filter as the API takes it; what is no number is left out. */
export function queryOf(filter: RolloutFilter): Query {
  const given = FILTERS.filter((name) => filter[name].trim() !== "");
  const pairs = given.map((name) => [name, /^m(in|ax)_/.test(name) ? Number(filter[name]) : filter[name]] as const);
  return Object.fromEntries(pairs.filter(([, value]) => typeof value === "string" || Number.isFinite(value))) as Query;
}
