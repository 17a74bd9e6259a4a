"use client";

import { useMutation } from "@tanstack/react-query";
import { api, bodyOf, type Schemas } from "@/client/api";
import { Confirm } from "@/ui/Confirm";

/** Names the run, and says what ends and what is kept. */
export function StopRun({ run, isOpen, onClose }: { run: Schemas["RunView"]; isOpen: boolean; onClose: () => void }) {
  const stop = useMutation({
    mutationFn: () => bodyOf(api.DELETE("/api/rl/runs/{run_id}", { params: { path: { run_id: run.run_id } } })),
    onSuccess: onClose,
  });
  return (
    <Confirm title={`Stop ${run.run_id}?`} action="Stop the run" isOpen={isOpen} isBusy={stop.isPending} error={stop.error} onConfirm={() => stop.mutate()} onClose={onClose}>
      <p>Its {run.processes.length} processes end now. A stopped run cannot go on.</p>
      <p className="mt-2 text-muted">
        {run.policy_version > 0 ? `Kept: metrics, events and logs, and the weights of version ${run.policy_version}.` : "No version has been published yet: there are no trained weights to keep."}
      </p>
      {run.checkpoint && <p className="mt-1 font-mono text-2xs break-all text-muted">{run.checkpoint}</p>}
    </Confirm>
  );
}
