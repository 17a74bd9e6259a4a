"use client";

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { costNote } from "@/features/run/cost";
import { Button } from "@/ui/Button";
import { Confirm } from "@/ui/Confirm";
import { CopyButton } from "@/ui/CopyButton";
import { clock } from "@/ui/format";
import { Loaded } from "@/ui/states";
import { Status } from "@/ui/Status";
import { isStoppable, readLogs, remove, stop, type Service, type ServiceTemplate } from "./services";
import { TestCall } from "./TestCall";

/** One service: where it is, a call by hand, what it printed, and its end. */
export function ServicePanel({ service, templates }: { service: Service; templates: ServiceTemplate[] }) {
  const { name, status, detail, image, url } = service;
  return (
    <section className="panel min-w-0 overflow-hidden" aria-label={`Service ${name}`}>
      <header className="flex flex-wrap items-start justify-between gap-2 px-4 py-2.5">
        <div className="min-w-0">
          <h2 className="flex flex-wrap items-center gap-2 font-mono font-medium">
            {name} <Status status={status} />
          </h2>
          <p className="text-xs text-muted">
            {image ?? "no image"}
            {detail && `, Railway says ${detail}`}
          </p>
          {service.cost && <p className="num text-xs text-muted">at most {costNote(service.cost)}</p>}
          {url && /^https?:/.test(url) && (
            <p className="flex min-w-0 items-center gap-1">
              <a className="truncate font-mono text-2xs text-accent hover:underline" href={url} target="_blank" rel="noreferrer">
                {url}
              </a>
              <CopyButton text={url} label={`Copy the address of ${name}`} />
            </p>
          )}
        </div>
        <Ends service={service} />
      </header>
      <TestCall name={name} templates={templates} />
      <Log name={name} hasDeployment={service.deployment_id !== null} />
    </section>
  );
}

function Ends({ service }: { service: Service }) {
  const [asked, setAsked] = useState<"stop" | "delete" | null>(null);
  const queries = useQueryClient();
  const end = useMutation({
    mutationFn: () => (asked === "stop" ? stop(service.name) : remove(service.name)),
    onSuccess: () => {
      setAsked(null);
      return queries.invalidateQueries({ queryKey: ["services"] });
    },
  });
  return (
    <div className="flex gap-2">
      {isStoppable(service) && <Button onClick={() => setAsked("stop")}>Stop</Button>}
      <Button onClick={() => setAsked("delete")}>Delete</Button>
      <Confirm title={asked === "stop" ? `Stop ${service.name}?` : `Delete ${service.name}?`} action={asked === "stop" ? "Stop it" : "Delete it"} isOpen={asked !== null} isBusy={end.isPending} error={end.error} onConfirm={() => end.mutate()} onClose={() => setAsked(null)}>
        <p>{asked === "stop" ? "What runs of it ends, and is not billed any more. It stays in the list, with its log." : "It is gone, with its address and its log."}</p>
      </Confirm>
    </div>
  );
}

function Log({ name, hasDeployment }: { name: string; hasDeployment: boolean }) {
  const { data, error, refetch } = useQuery({ queryKey: ["service-log", name], queryFn: () => readLogs(name), refetchInterval: 10_000, enabled: hasDeployment, retry: false });
  if (!hasDeployment) return null;
  return (
    <div className="border-t">
      <div className="flex items-center justify-between px-4 pt-2">
        <h3 className="text-xs text-muted">What it printed</h3>
        <Button look="ghost" onClick={() => void refetch()}>
          Read again
        </Button>
      </div>
      <Loaded data={data} error={error} onRetry={() => void refetch()}>
        {(lines) =>
          lines.length === 0 ? (
            <p className="px-4 pb-3 text-muted">Nothing yet.</p>
          ) : (
            <div role="log" aria-label={`Log of ${name}`} tabIndex={0} className="max-h-72 overflow-auto border-t bg-sunken/50 py-2">
              {lines.map(({ timestamp, message }, i) => (
                <pre key={i} className="px-4 font-mono text-2xs break-all whitespace-pre-wrap">
                  <span className="text-muted">{clock(timestamp)}</span> {message}
                </pre>
              ))}
            </div>
          )
        }
      </Loaded>
    </div>
  );
}
