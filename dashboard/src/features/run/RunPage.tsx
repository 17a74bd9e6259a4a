"use client";

import dynamic from "next/dynamic";
import Link from "next/link";
import { useEffect } from "react";
import type { Schemas } from "@/client/api";
import { isLive } from "@/features/runs/rules";
import { useTopic } from "@/live/useTopic";
import { Empty, Loaded } from "@/ui/states";
import { Tabs } from "@/ui/Tabs";
import { useQueryState } from "@/ui/useQueryState";
import { DetailsTab } from "./DetailsTab";
import { EventsTab } from "./EventsTab";
import { LogsTab } from "./LogsTab";
import { ProcessesTab } from "./ProcessesTab";
import { RunHeader } from "./RunHeader";
import { Tiles } from "./Tiles";
import { useEvents } from "./useEvents";
import { VersionsTab } from "./VersionsTab";

const ChartGrid = dynamic(() => import("@/charts/ChartGrid").then((module) => module.ChartGrid), { ssr: false });
const RolloutsTab = dynamic(() => import("@/features/rollouts/RolloutsTab").then((module) => module.RolloutsTab), { ssr: false });

/** One run: `/run?id=rl-...&tab=...`. */
export function RunPage() {
  const [id] = useQueryState("id", "");
  if (!/^[A-Za-z0-9_.-]{1,60}$/.test(id))
    return (
      <Empty title="No run is named in this address">
        <Link className="text-accent hover:underline" href="/">
          Show all runs
        </Link>
      </Empty>
    );
  return <OneRun key={id} id={id} />;
}

function OneRun({ id }: { id: string }) {
  const { data, error } = useTopic(`run:${id}`);
  useEffect(() => {
    document.title = `${id} · Skyscale`;
  }, [id]);
  return (
    <Loaded data={data} error={error}>
      {(run) => (
        <>
          <RunHeader run={run} />
          <Tiles run={run} />
          <RunTabs run={run} />
        </>
      )}
    </Loaded>
  );
}

const TABS = ["charts", "rollouts", "events", "logs", "processes", "versions", "details"] as const;
type Tab = (typeof TABS)[number];

function RunTabs({ run }: { run: Schemas["RunView"] }) {
  const [chosen, setTab] = useQueryState("tab", "charts");
  const tab: Tab = TABS.find((each) => each === chosen) ?? "charts";
  const events = useEvents(run.run_id);
  const counts: Partial<Record<Tab, number>> = { events: run.event_count, processes: run.processes.length, versions: run.policy_version };
  return (
    <>
      <Tabs label="About this run" selected={tab} onSelect={setTab} tabs={TABS.map((each) => ({ id: each, label: each.charAt(0).toUpperCase() + each.slice(1), count: counts[each] ?? null }))} />
      <div id="panel" role="tabpanel" aria-label={tab} className="px-4 py-4 md:px-6">
        {tab === "charts" && <ChartGrid runs={[{ run_id: run.run_id, isLive: isLive(run), hasReports: run.metrics.length > 0 }]} />}
        {tab === "rollouts" && <RolloutsTab run={run} />}
        {tab === "events" && <EventsTab events={events} />}
        {tab === "logs" && <LogsTab processes={run.processes} />}
        {tab === "processes" && <ProcessesTab processes={run.processes} />}
        {tab === "versions" && <VersionsTab run={run} events={events} />}
        {tab === "details" && <DetailsTab run={run} />}
      </div>
    </>
  );
}
