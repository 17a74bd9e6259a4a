"use client";

import dynamic from "next/dynamic";
import { useDeferredValue, useState } from "react";
import type { Schemas } from "@/client/api";
import { TEMPLATES } from "@/features/templates/templates";
import { useTopic } from "@/live/useTopic";
import { Button } from "@/ui/Button";
import { number } from "@/ui/format";
import { Icon } from "@/ui/Icon";
import { PageHeader } from "@/ui/PageHeader";
import { Empty, Loaded } from "@/ui/states";
import { useDelayed } from "@/ui/useDelayed";
import { useQueryState } from "@/ui/useQueryState";
import { ComparedRuns } from "./ComparedRuns";
import { compared, isLive, matching } from "./rules";
import { RunsTable } from "./RunsTable";

const StartRun = dynamic(() => import("./StartRun"), { ssr: false });
const ChartGrid = dynamic(() => import("@/charts/ChartGrid").then((module) => module.ChartGrid), { ssr: false });

/** A pointer that only passes over a run does not light it up. */
const POINTED_MS = 80;

/** All runs, and the charts of those that are ticked laid over each other. */
export function TrainingPage() {
  const { data, error } = useTopic("runs");
  const [starting, setStarting] = useQueryState("start", "");
  const template = TEMPLATES.find(({ id }) => id === starting);
  const start = (
    <Button look="primary" data-new onClick={() => setStarting("new")}>
      <Icon name="plus" size={14} /> Start a run
    </Button>
  );
  return (
    <>
      <PageHeader title="Training" subtitle={data ? summary(data.runs) : "Reinforcement learning runs"}>
        {start}
      </PageHeader>
      <Loaded data={data} error={error}>
        {({ runs }) => (runs.length === 0 ? <NoRuns action={start} /> : <Runs runs={runs} />)}
      </Loaded>
      {starting && <StartRun initial={template?.entries ?? {}} onClose={() => setStarting("")} />}
    </>
  );
}

function Runs({ runs }: { runs: Schemas["RunSummary"][] }) {
  const [search, setSearch] = useQueryState("q", "");
  const [compare, setCompare] = useQueryState("compare", "");
  const [highlighted, setHighlighted] = useState<string | null>(null);
  const ticked = compare.split(",").filter(Boolean);
  const shown = compared(runs, ticked);
  const ids = shown.map(({ run_id }) => run_id);
  const drawn = useDeferredValue(shown);
  const pointed = useDelayed(highlighted, POINTED_MS);
  const at = pointed === null ? -1 : drawn.findIndex(({ run_id }) => run_id === pointed);
  return (
    <div className="flex flex-col gap-4 px-4 pb-8 md:px-6">
      <RunsTable
        runs={matching(runs, search)}
        shown={ids}
        ticked={ticked}
        search={search}
        onSearch={setSearch}
        onTick={(ids) => setCompare(ids.join(","))}
        onHighlight={setHighlighted}
      />
      <section aria-label="Charts" className="flex flex-col gap-3">
        <h2 className="text-base font-semibold">{shown.length === 1 ? shown[0]?.run_id : `${shown.length} runs compared`}</h2>
        {shown.length > 1 && <ComparedRuns ids={ids} highlighted={highlighted} onHighlight={setHighlighted} onRemove={(id) => setCompare(ids.filter((each) => each !== id).join(","))} />}
        <ChartGrid runs={drawn.map((run) => ({ run_id: run.run_id, isLive: isLive(run), hasReports: run.last_reward !== null }))} highlighted={drawn.length > 1 && at >= 0 ? at : null} />
      </section>
    </div>
  );
}

function summary(runs: Schemas["RunSummary"][]): string {
  const live = runs.filter(isLive).length;
  const best = runs.reduce<number | null>((most, { last_reward }) => (last_reward !== null && (most === null || last_reward > most) ? last_reward : most), null);
  return [`${live} live`, `${runs.length - live} ended`, ...(best === null ? [] : [`best reward ${number(best)}`])].join(" · ");
}

function NoRuns({ action }: { action: React.ReactNode }) {
  return (
    <Empty title="Nothing has been trained yet">
      <p>Start a run with everything at its default: the starter model learns to program on this machine, and its reward rises within a minute or two.</p>
      {action}
      <code className="font-mono text-xs">skyscale runs create --watch</code>
    </Empty>
  );
}
