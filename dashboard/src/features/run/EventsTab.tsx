"use client";

import { useState } from "react";
import { INPUT } from "@/ui/Field";
import { clock } from "@/ui/format";
import { SearchInput } from "@/ui/SearchInput";
import { Empty } from "@/ui/states";
import { VirtualLines } from "@/ui/VirtualLines";
import type { RunEvent } from "./useEvents";

const LEVELS = ["debug", "info", "warning", "error"] as const;

/** The facts of record of a run, streaming; filtered by level, component and text. */
export function EventsTab({ events }: { events: RunEvent[] }) {
  const [level, setLevel] = useState<(typeof LEVELS)[number]>("debug");
  const [component, setComponent] = useState("");
  const [search, setSearch] = useState("");
  const components = [...new Set(events.map((event) => event.component))].sort();
  const wanted = search.toLowerCase();
  const shown = events.filter(
    (event) => LEVELS.indexOf(event.level) >= LEVELS.indexOf(level) && (!component || event.component === component) && `${event.kind} ${event.message}`.toLowerCase().includes(wanted),
  );
  if (events.length === 0) return <Empty title="Nothing has happened yet" />;
  return (
    <div className="panel overflow-hidden">
      <div className="flex flex-wrap items-center gap-2 border-b p-2">
        <SearchInput value={search} onChange={setSearch} label="Search events" />
        <select aria-label="Least level" className={`${INPUT} w-auto!`} value={level} onChange={(event) => setLevel(event.target.value as typeof level)}>
          {LEVELS.map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
        <select aria-label="Component" className={`${INPUT} w-auto!`} value={component} onChange={(event) => setComponent(event.target.value)}>
          <option value="">all components</option>
          {components.map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
        <span className="num ml-auto text-muted">{shown.length.toLocaleString("en")} events</span>
      </div>
      <VirtualLines label="Events" lines={shown} keyOf={(event) => event.seq} render={(event) => <EventLine event={event} />} />
    </div>
  );
}

const TONE: Record<string, string> = { warning: "text-warn", error: "text-bad", debug: "text-faint" };

function EventLine({ event }: { event: RunEvent }) {
  return (
    <div className="flex gap-3 px-3 py-[3px] font-mono text-xs" title={JSON.stringify(event.data)}>
      <span className="num shrink-0 text-faint">{clock(event.timestamp)}</span>
      <span className="hidden w-24 shrink-0 truncate text-muted sm:block">{event.component}</span>
      <span className={`hidden w-44 shrink-0 truncate md:block ${TONE[event.level] ?? "text-accent"}`}>{event.kind}</span>
      <span className={`min-w-0 break-words ${TONE[event.level] ?? ""}`}>{event.message}</span>
    </div>
  );
}
