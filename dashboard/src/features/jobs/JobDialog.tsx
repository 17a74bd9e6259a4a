"use client";

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import Link from "next/link";
import { api, bodyOf, type Schemas } from "@/client/api";
import { costNote } from "@/features/run/cost";
import { Button } from "@/ui/Button";
import { Dialog } from "@/ui/Dialog";
import { ErrorState, Loaded } from "@/ui/states";
import { Status } from "@/ui/Status";
import { JobLog } from "./JobLog";

const ENDED = new Set(["succeeded", "failed", "cancelled"]);

/** A job and the end of its log; a command of one's own can be cancelled here. */
export function JobDialog({ jobId, onClose }: { jobId: string; onClose: () => void }) {
  const { data, error, refetch } = useQuery({
    queryKey: ["job", jobId],
    queryFn: () => bodyOf(api.GET("/api/training/jobs/{job_id}", { params: { path: { job_id: jobId } } })),
    refetchInterval: (query) => (ENDED.has(query.state.data?.job.status ?? "") ? false : 2_000),
  });
  return (
    <Dialog title={jobId} isOpen onClose={onClose} width={900}>
      <Loaded data={data} error={error} onRetry={() => void refetch()}>
        {({ job }) => (
          <div className="flex flex-col gap-3 p-4">
            <Facts job={job} />
            <Artifacts jobId={jobId} isLive={!ENDED.has(job.status)} />
            <JobLog jobId={jobId} isLive={!ENDED.has(job.status)} />
            {job.role === "custom" && !ENDED.has(job.status) && <Cancel job={job} />}
          </div>
        )}
      </Loaded>
    </Dialog>
  );
}

function Facts({ job }: { job: Schemas["JobView"] }) {
  return (
    <div className="flex flex-wrap items-center gap-x-4 gap-y-1 text-muted">
      <Status status={job.status} />
      <span>
        {job.role} on {job.provider}, {job.gpu_model}, attempt {job.attempt}
      </span>
      {job.cost && <span className="num">{costNote(job.cost)}</span>}
      {job.exit_code !== null && <span>exit code {job.exit_code}</span>}
      {job.run_id && (
        <Link className="font-mono text-xs text-accent hover:underline" href={`/run?id=${job.run_id}`}>
          {job.run_id}
        </Link>
      )}
      {(job.reason ?? job.detail) && <span className="w-full break-words">{job.reason ?? job.detail}</span>}
    </div>
  );
}

/** What the job sent to be kept. */
function Artifacts({ jobId, isLive }: { jobId: string; isLive: boolean }) {
  const { data } = useQuery({
    queryKey: ["job-artifacts", jobId],
    queryFn: () => bodyOf(api.GET("/api/training/jobs/{job_id}/artifacts", { params: { path: { job_id: jobId } } })),
    refetchInterval: isLive ? 5_000 : false,
    retry: false,
  });
  if (!data || data.artifacts.length === 0) return null;
  return (
    <ul aria-label="Artifacts" className="panel flex flex-wrap gap-x-4 gap-y-1 px-3 py-2">
      {data.artifacts.map(({ name, url }) => (
        <li key={name}>
          <a className="font-mono text-xs text-accent hover:underline" href={url} download>
            {name}
          </a>
        </li>
      ))}
    </ul>
  );
}

function Cancel({ job }: { job: Schemas["JobView"] }) {
  const queries = useQueryClient();
  const cancel = useMutation({
    mutationFn: () => bodyOf(api.DELETE("/api/training/jobs/{job_id}", { params: { path: { job_id: job.job_id } } })),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["job", job.job_id] }),
  });
  return (
    <div className="flex flex-col items-end">
      {cancel.error && <ErrorState error={cancel.error} />}
      <Button look="danger" isBusy={cancel.isPending} onClick={() => cancel.mutate()}>
        Cancel the job
      </Button>
    </div>
  );
}
