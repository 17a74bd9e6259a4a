/** Pure decisions about runs. */
import type { Schemas } from "@/client/api";

type Run = Pick<Schemas["RunSummary"], "status">;

export function isLive({ status }: Run): boolean {
  return status === "starting" || status === "running" || status === "stopping";
}

/** Runs whose id, model, status or reason contains every word. */
export function matching<R extends Schemas["RunSummary"]>(runs: readonly R[], search: string): R[] {
  const wanted = search.toLowerCase().split(/\s+/).filter(Boolean);
  return runs.filter((run) => {
    const text = [run.run_id, run.base_model, run.status, run.stage, run.reason].join(" ").toLowerCase();
    return wanted.every((word) => text.includes(word));
  });
}

export type SortKey = "created_at" | "last_reward" | "policy_version" | "status";

export function sorted<R extends Schemas["RunSummary"]>(runs: readonly R[], key: SortKey, isDown: boolean): R[] {
  const sign = isDown ? -1 : 1;
  return [...runs].sort((a, b) => {
    const [x, y] = [a[key], b[key]];
    if (x === null || y === null) return x === y ? 0 : x === null ? 1 : -1; // Not recorded is last either way.
    return sign * (x < y ? -1 : x > y ? 1 : 0);
  });
}

/** The runs that are compared: those that were ticked, else the live ones (at most four), else the newest. */
export function compared<R extends Schemas["RunSummary"]>(runs: readonly R[], ticked: readonly string[]): R[] {
  const chosen = runs.filter(({ run_id }) => ticked.includes(run_id));
  if (chosen.length > 0) return chosen;
  const live = runs.filter(isLive).slice(0, 4);
  return live.length > 0 ? live : runs.slice(0, 1);
}
