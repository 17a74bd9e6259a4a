"use client";

import { startTransition, useEffect, useRef, useState } from "react";
import { readJson } from "@/client/api";
import { useConnection } from "@/live/LiveProvider";
import type { MetricsColumns } from "@/live/topics";
import { History } from "./history";

export interface Followed {
  run_id: string;
  isLive: boolean;
  /** It is known to have reported: nothing to show means that it is still on its way. */
  hasReports: boolean;
}

const SHOW_EVERY_MS = 500;
const PAGE = 10_000;

export interface Histories {
  histories: ReadonlyMap<string, History>;
  /** Changes at most twice a second, when any of them grew. */
  version: number;
  /** The whole history of some ended run is still on its way. */
  isReading: boolean;
  error: Error | null;
}

/** The metrics of these runs, growing. */
export function useHistories(runs: readonly Followed[]): Histories {
  const connection = useConnection();
  const kept = useRef(new Map<string, History>());
  const complete = useRef(new Set<string>());
  const [version, setVersion] = useState(0);
  const [error, setError] = useState<Error | null>(null);
  const key = runs.map(({ run_id, isLive }) => `${run_id} ${isLive}`).join(",");
  useEffect(() => {
    let [isOver, timer] = [false, null as ReturnType<typeof setTimeout> | null];
    const grew = () => {
      timer ??= setTimeout(() => {
        timer = null;
        // News waits for a hand, not the other way round.
        startTransition(() => setVersion((count) => count + 1));
      }, SHOW_EVERY_MS);
    };
    const stops = key.split(",").filter(Boolean).map((entry) => {
      const [id = "", isLive] = entry.split(" ");
      const history = kept.current.get(id) ?? new History();
      kept.current.set(id, history);
      if (isLive === "true") return connection.follow(`metrics:${id}`, ({ data }) => history.append(data as MetricsColumns) && grew());
      void readAll(id, history, () => isOver).then(
        () => {
          complete.current.add(id);
          setError(null);
          grew();
        },
        (cause: unknown) => !isOver && setError(cause instanceof Error ? cause : new Error(String(cause))),
      );
      return () => undefined;
    });
    return () => {
      isOver = true;
      if (timer) clearTimeout(timer);
      stops.forEach((stop) => stop());
    };
  }, [connection, key]);
  return { histories: kept.current, version, isReading: runs.some((run) => isOnItsWay(run, kept.current.get(run.run_id), complete.current)), error };
}

function isOnItsWay({ run_id, isLive, hasReports }: Followed, history: History | undefined, complete: ReadonlySet<string>): boolean {
  return isLive ? hasReports && !history?.length : !complete.has(run_id);
}

/** An ended run does not change any more: read once, page by page. */
async function readAll(id: string, history: History, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    const page = await readJson<MetricsColumns>(`/api/rl/runs/${encodeURIComponent(id)}/metrics?limit=${PAGE}&after=${history.after}`);
    if (!history.append(page) || page.step.length < PAGE) return;
  }
}
