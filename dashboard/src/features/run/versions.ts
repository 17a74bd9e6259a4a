/** The life of each published version, put together from events and evaluations. Pure. */
import type { Schemas } from "@/client/api";
import type { RunEvent } from "./useEvents";

export interface VersionRow {
  version: number;
  publishedAt: string;
  /** Seconds since the version before; null for the first. */
  interval_s: number | null;
  /** Milliseconds from publication until it was served; null when it never was. */
  delay_ms: number | null;
  fetch_ms: number | null;
  /** How long decoding stood still for it. */
  stall_ms: number | null;
  evaluation: number | null;
}

/** Newest first. */
export function versionRows(events: readonly RunEvent[], evaluations: readonly Schemas["EvaluationResult"][]): VersionRow[] {
  const scores = new Map(evaluations.map(({ version, reward }) => [version, reward]));
  const swaps = new Map(events.filter(({ kind }) => kind === "policy.swapped").map(({ data }) => [data["version"], data]));
  const rows: VersionRow[] = [];
  for (const event of events) {
    if (event.kind !== "policy.published") continue;
    const version = Number(event.data["version"]);
    const before = rows.at(-1);
    const swap = swaps.get(version);
    rows.push({
      version,
      publishedAt: event.timestamp,
      interval_s: before ? (Date.parse(event.timestamp) - Date.parse(before.publishedAt)) / 1000 : null,
      delay_ms: numberIn(swap, "since_publish_ms"),
      fetch_ms: numberIn(swap, "fetch_ms"),
      stall_ms: numberIn(swap, "stall_ms"),
      evaluation: scores.get(version) ?? null,
    });
  }
  return rows.reverse();
}

function numberIn(data: Record<string, unknown> | undefined, name: string): number | null {
  const value = data?.[name];
  return typeof value === "number" ? value : null;
}
