"use client";

import { useState } from "react";
import type { Schemas } from "@/client/api";
import { Ago } from "@/ui/Ago";
import { dollars } from "@/features/run/cost";
import { INPUT } from "@/ui/Field";
import { duration, seconds } from "@/ui/format";
import { SearchInput } from "@/ui/SearchInput";
import { Status } from "@/ui/Status";
import { useNow } from "@/ui/useNow";
import { useRowKeys } from "@/ui/useRowKeys";

type Job = Schemas["JobView"];
const ROLES = ["policy", "trainer", "worker", "custom"] as const;

export function JobsTable({ jobs, onOpen }: { jobs: Job[]; onOpen: (id: string) => void }) {
  const [role, setRole] = useState("");
  const [search, setSearch] = useState("");
  const rows = useRowKeys<HTMLTableSectionElement>();
  const now = useNow(1_000);
  const wanted = search.toLowerCase();
  const shown = jobs.filter((job) => (!role || job.role === role) && [job.job_id, job.run_id, job.status, job.provider, job.gpu_model, job.detail].join(" ").toLowerCase().includes(wanted));
  return (
    <>
      <div className="flex flex-wrap items-center gap-2 border-b p-2">
        <SearchInput value={search} onChange={setSearch} label="Search jobs" />
        <select aria-label="Role" className={`${INPUT} w-auto!`} value={role} onChange={(event) => setRole(event.target.value)}>
          <option value="">all roles</option>
          {ROLES.map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
        <span className="num ml-auto text-muted">{summary(jobs)}</span>
      </div>
      <div className="max-h-[64dvh] overflow-auto" tabIndex={0} role="region" aria-label="List of jobs">
        <table className="table">
          <thead>
            <tr>
              <th>Job</th>
              <th>Status</th>
              <th className="hidden sm:table-cell">Role</th>
              <th className="hidden md:table-cell">Provider</th>
              <th className="hidden lg:table-cell">Doing</th>
              <th className="hidden text-right sm:table-cell">Duration</th>
              <th className="hidden text-right md:table-cell" title="By list prices; the jobs of a run are in the run's cost">
                Cost
              </th>
              <th className="hidden text-right md:table-cell">Created</th>
            </tr>
          </thead>
          <tbody ref={rows}>
            {shown.map((job) => (
              <tr key={job.job_id}>
                <td>
                  <button type="button" data-row onClick={() => onOpen(job.job_id)} className="font-mono text-xs font-medium hover:text-accent hover:underline">
                    {job.job_id}
                  </button>
                </td>
                <td>
                  <Status status={job.status} />
                </td>
                <td className="hidden sm:table-cell">{job.role}</td>
                <td className="hidden text-muted md:table-cell">
                  {job.provider}, {job.gpu_model}
                </td>
                <td className="hidden max-w-[36ch] truncate text-muted lg:table-cell" title={job.reason ?? job.detail}>
                  {job.reason ?? job.detail}
                </td>
                <td className="num hidden text-right text-muted sm:table-cell">{duration(elapsed(job, now))}</td>
                <td className="num hidden text-right md:table-cell">{dollars(job.cost?.usd)}</td>
                <td className="hidden text-right text-muted md:table-cell">
                  <Ago time={job.created_at} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
        {shown.length === 0 && <p className="p-6 text-center text-muted">No job matches.</p>}
      </div>
    </>
  );
}

function elapsed({ started_at, ended_at }: Job, now: number): number | null {
  const s = seconds(started_at, ended_at ?? (now || null));
  return s === null ? null : ended_at ? s : Math.floor(s);
}

function summary(jobs: Job[]): string {
  const count = (...states: string[]) => jobs.filter(({ status }) => states.includes(status)).length;
  return `${count("running", "starting")} running, ${count("queued")} queued`;
}
