"use client";

import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { api, bodyOf, type Schemas } from "@/client/api";
import { Button } from "@/ui/Button";
import { Confirm } from "@/ui/Confirm";
import { CopyButton } from "@/ui/CopyButton";
import { duration, seconds, words } from "@/ui/format";
import { Status } from "@/ui/Status";
import { Tabs } from "@/ui/Tabs";
import { useNow } from "@/ui/useNow";
import { Console } from "./Console";
import { Files } from "./Files";

type Tab = "console" | "files" | "details";

/** One sandbox: its console, its files, what it may use. */
export function SandboxPanel({ sandbox, startMs }: { sandbox: Schemas["SandboxView"]; startMs: number | null }) {
  const [tab, setTab] = useState<Tab>("console");
  const isOpen = sandbox.status !== "destroyed";
  return (
    <section className="panel min-w-0 self-start overflow-hidden" aria-label={`Sandbox ${sandbox.id}`}>
      <Header sandbox={sandbox} isOpen={isOpen} startMs={startMs} />
      <Tabs
        label="About this sandbox"
        selected={tab}
        onSelect={setTab}
        tabs={[
          { id: "console", label: "Console" },
          { id: "files", label: "Files" },
          { id: "details", label: "Details" },
        ]}
      />
      <div id="panel" role="tabpanel" aria-label={tab}>
        <div hidden={tab !== "console"}>
          <Console sandboxId={sandbox.id} runtime={sandbox.runtime} isOpen={isOpen} />
        </div>
        {tab === "files" && <Files sandboxId={sandbox.id} isOpen={isOpen} />}
        {tab === "details" && <Details sandbox={sandbox} />}
      </div>
    </section>
  );
}

function Header({ sandbox, isOpen, startMs }: { sandbox: Schemas["SandboxView"]; isOpen: boolean; startMs: number | null }) {
  const [isAsking, setAsking] = useState(false);
  const now = useNow(1_000);
  const left = now ? seconds(new Date(now).toISOString(), sandbox.expires_at) : null;
  const destroy = useMutation({
    mutationFn: () => bodyOf(api.DELETE("/api/sandboxes/{sandbox_id}", { params: { path: { sandbox_id: sandbox.id } } })),
    onSuccess: () => setAsking(false),
  });
  return (
    <header className="flex flex-wrap items-center justify-between gap-2 px-4 py-2.5">
      <div className="flex flex-wrap items-center gap-2">
        <h2 className="font-mono font-medium">{sandbox.id}</h2>
        <CopyButton text={sandbox.id} label="Copy the sandbox's id" />
        <Status status={sandbox.status} />
        <span className="num text-xs text-muted">
          {isOpen ? (left !== null && left > 0 ? `${duration(Math.floor(left))} left` : "") : (sandbox.reason ?? "")}
          {startMs !== null && `, ready in ${duration(startMs / 1000)}`}
        </span>
      </div>
      {isOpen && <Button onClick={() => setAsking(true)}>Destroy</Button>}
      <Confirm title={`Destroy ${sandbox.id}?`} action="Destroy it" isOpen={isAsking} isBusy={destroy.isPending} error={destroy.error} onConfirm={() => destroy.mutate()} onClose={() => setAsking(false)}>
        <p>Its processes end and its files are gone for good.</p>
      </Confirm>
    </header>
  );
}

function Details({ sandbox }: { sandbox: Schemas["SandboxView"] }) {
  const { limits, metadata, ...rest } = sandbox;
  const entries = [...Object.entries(rest), ...Object.entries(limits), ...Object.entries(metadata)];
  return (
    <dl className="grid grid-cols-[minmax(120px,220px)_1fr] gap-x-4 gap-y-1 p-4">
      {entries.map(([name, value]) => (
        <div key={name} className="contents">
          <dt className="text-muted">{words(name)}</dt>
          <dd className="num font-mono text-xs leading-5 break-all">{value === null ? "–" : String(value)}</dd>
        </div>
      ))}
    </dl>
  );
}
