"use client";

import { useEffect, useRef, useState } from "react";
import { readJson } from "@/client/api";
import { useConnection } from "@/live/LiveProvider";
import type { MetricsColumns } from "@/live/topics";
import { History } from "./history";

export interface Followed {
  run_id: string;
  isLive: boolean;
}

const SHOW_EVERY_MS = 250;
const PAGE = 10_000;

/** The metrics of these runs, growing; `version` changes at most four times a second when any of them grew. */
export function useHistories(runs: readonly Followed[]): { histories: ReadonlyMap<string, History>; version: number } {
  const connection = useConnection();
  const kept = useRef(new Map<string, History>());
  const [version, setVersion] = useState(0);
  const key = runs.map(({ run_id, isLive }) => `${run_id} ${isLive}`).join(",");
  useEffect(() => {
    let [isOver, timer] = [false, null as ReturnType<typeof setTimeout> | null];
    const grew = () => {
      timer ??= setTimeout(() => {
        timer = null;
        setVersion((count) => count + 1);
      }, SHOW_EVERY_MS);
    };
    const stops = key.split(",").filter(Boolean).map((entry) => {
      const [id = "", isLive] = entry.split(" ");
      const history = kept.current.get(id) ?? new History();
      kept.current.set(id, history);
      if (isLive === "true") return connection.follow(`metrics:${id}`, ({ data }) => history.append(data as MetricsColumns) && grew());
      void readAll(id, history, () => isOver).then(grew, () => undefined);
      return () => undefined;
    });
    return () => {
      isOver = true;
      if (timer) clearTimeout(timer);
      stops.forEach((stop) => stop());
    };
  }, [connection, key]);
  return { histories: kept.current, version };
}

/** An ended run does not change any more: read once, page by page. */
async function readAll(id: string, history: History, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    const page = await readJson<MetricsColumns>(`/api/rl/runs/${encodeURIComponent(id)}/metrics?limit=${PAGE}&after=${history.after}`);
    if (!history.append(page) || page.step.length < PAGE) return;
  }
}
