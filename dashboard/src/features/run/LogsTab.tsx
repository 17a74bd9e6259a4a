"use client";

import type { Schemas } from "@/client/api";
import { JobLog } from "@/features/jobs/JobLog";
import { Empty } from "@/ui/states";
import { useQueryState } from "@/ui/useQueryState";

/** What the processes of a run print. */
export function LogsTab({ processes }: { processes: Schemas["ProcessHealth"][] }) {
  const [chosen, setChosen] = useQueryState("job", "");
  const shown = processes.find(({ id }) => id === chosen) ?? processes.find(({ role }) => role === "trainer") ?? processes[0];
  if (!shown) return <Empty title="This run has no process yet" />;
  return (
    <div className="flex flex-col gap-3">
      <div role="group" aria-label="Process" className="flex flex-wrap gap-1.5">
        {processes.map(({ id, role, index }) => (
          <button key={id} type="button" aria-pressed={id === shown.id} onClick={() => setChosen(id)} className={`h-7 rounded-md border px-2.5 text-xs ${id === shown.id ? "border-accent bg-accent-soft font-medium text-accent" : "text-muted hover:bg-sunken"}`}>
            {role === "worker" ? `worker ${index}` : role}
          </button>
        ))}
      </div>
      <JobLog key={shown.id} jobId={shown.id} isLive={shown.status === "running" || shown.status === "starting"} />
    </div>
  );
}
