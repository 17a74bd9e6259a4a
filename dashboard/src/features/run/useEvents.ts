"use client";

import { useRef, useState } from "react";
import type { Schemas } from "@/client/api";
import { useMessages } from "@/live/useTopic";

export type RunEvent = Schemas["Event"];

/** More than anyone scrolls through; the oldest are let go. */
const KEPT = 10_000;

/** The events of a run as they come, oldest first. */
export function useEvents(runId: string): RunEvent[] {
  const last = useRef(0);
  const [events, setEvents] = useState<RunEvent[]>([]);
  useMessages(`events:${runId}`, (page) => {
    const news = page.events.filter(({ seq }) => seq > last.current);
    const newest = news.at(-1);
    if (!newest) return;
    last.current = newest.seq;
    setEvents((kept) => [...kept, ...news].slice(-KEPT));
  });
  return events;
}
