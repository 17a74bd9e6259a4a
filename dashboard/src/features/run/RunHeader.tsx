"use client";

import Link from "next/link";
import { useState } from "react";
import type { Schemas } from "@/client/api";
import { isLive } from "@/features/runs/rules";
import { Button } from "@/ui/Button";
import { CopyButton } from "@/ui/CopyButton";
import { words } from "@/ui/format";
import { Icon } from "@/ui/Icon";
import { Status } from "@/ui/Status";
import { StopRun } from "./StopRun";

export function RunHeader({ run }: { run: Schemas["RunView"] }) {
  const [isStopping, setStopping] = useState(false);
  return (
    <header className="flex flex-wrap items-start justify-between gap-x-6 gap-y-3 px-4 pt-4 pb-3 md:px-6">
      <div className="min-w-0">
        <nav aria-label="Breadcrumb" className="text-xs text-muted">
          <Link href="/" className="hover:text-text hover:underline">
            Training
          </Link>
          <span aria-hidden="true"> / </span>
        </nav>
        <h1 className="flex flex-wrap items-center gap-2 text-[17px] leading-7 font-semibold tracking-tight">
          <span className="font-mono text-base break-all">{run.run_id}</span>
          <CopyButton text={run.run_id} label="Copy the run's id" />
          <Status status={run.status} />
          {run.stage && <span className="text-sm font-normal text-muted">{words(run.stage)}</span>}
        </h1>
        {run.reason && <p className={run.status === "failed" ? "text-bad" : "text-muted"}>{run.reason}</p>}
      </div>
      <div className="flex items-center gap-2 pt-4">
        {run.grafana_url && /^https?:/.test(run.grafana_url) && (
          <a href={run.grafana_url} target="_blank" rel="noreferrer" className="inline-flex h-8 items-center gap-1.5 rounded-md border border-line-strong px-3 font-medium hover:bg-sunken">
            Grafana <Icon name="external" size={13} />
          </a>
        )}
        {isLive(run) && (
          <Button onClick={() => setStopping(true)} disabled={run.status === "stopping"}>
            <Icon name="stop" size={12} /> {run.status === "stopping" ? "Stopping" : "Stop"}
          </Button>
        )}
      </div>
      <StopRun run={run} isOpen={isStopping} onClose={() => setStopping(false)} />
    </header>
  );
}
