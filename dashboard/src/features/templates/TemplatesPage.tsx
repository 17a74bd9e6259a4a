"use client";

import { useQuery } from "@tanstack/react-query";
import Link from "next/link";
import { ApiError } from "@/client/errors";
import { entriesOfBody, fieldsOf, type Entries } from "@/features/forms/fields";
import { cliLine } from "@/features/runs/startForm";
import { readTemplates, type ServiceTemplate } from "@/features/services/services";
import { CopyButton } from "@/ui/CopyButton";
import { words } from "@/ui/format";
import { PageHeader } from "@/ui/PageHeader";
import { Prose } from "@/ui/Prose";
import { Empty, ErrorState, Loading } from "@/ui/states";
import { useJobTemplates, type JobTemplate } from "./jobTemplates";
import { TEMPLATES, type Template } from "./templates";

/** Runs, jobs and services to begin from; each opens its dialog with the changes filled in and checked. */
export function TemplatesPage() {
  return (
    <>
      <PageHeader title="Templates" subtitle="To begin from. Each opens a dialog with its changes filled in; nothing starts before you say so." />
      <Group title="Training runs">
        {TEMPLATES.map((template) => (
          <RunCard key={template.id} template={template} />
        ))}
      </Group>
      <Jobs />
      <Services />
    </>
  );
}

function Services() {
  const { data, error, refetch } = useQuery({ queryKey: ["service-templates"], queryFn: readTemplates, staleTime: 60_000 });
  if (error) return <ErrorState error={error} onRetry={() => void refetch()} />;
  if (!data) return <Loading rows={3} />;
  return (
    <Group title="Container services">
      {data.templates.map((template) => (
        <ServiceCard key={template.name} template={template} isConfigured={data.is_configured} />
      ))}
    </Group>
  );
}

function ServiceCard({ template: { name, title, description, variables }, isConfigured }: { template: ServiceTemplate; isConfigured: boolean }) {
  const needs = isConfigured ? "Nothing more: Railway is set up, and bills it" : "A Railway token on the control plane (RAILWAY_TOKEN)";
  return <Card title={title} about={description.charAt(0).toUpperCase() + description.slice(1)} needs={needs} entries={variables} href={`/faas?tab=services&deploy=${encodeURIComponent(name)}`} command={`skyscale services deploy NAME --template ${name}`} />;
}

function Jobs() {
  const { data, error, refetch } = useJobTemplates();
  if (error instanceof ApiError && error.status === 404) return null; // An older control plane: it has none.
  return (
    <>
      {error && <ErrorState error={error} onRetry={() => void refetch()} />}
      {!data && !error && <Loading rows={3} />}
      {data && (
        <Group title="GPU jobs">
          {data.map((template) => (
            <JobCard key={template.name} template={template} />
          ))}
        </Group>
      )}
      {data?.length === 0 && <Empty title="This control plane has no job templates" />}
    </>
  );
}

function Group({ title, children }: { title: string; children: React.ReactNode }) {
  return (
    <section aria-label={title} className="px-4 pb-8 md:px-6">
      <h2 className="pb-2 text-base font-semibold">{title}</h2>
      <ul className="grid gap-3 sm:grid-cols-2 xl:grid-cols-3">{children}</ul>
    </section>
  );
}

function RunCard({ template: { id, title, about, needs, entries } }: { template: Template }) {
  return <Card title={title} about={about} needs={needs} entries={entries} href={`/?start=${id}`} command={cliLine(entries)} />;
}

function JobCard({ template: { name, summary, body } }: { template: JobTemplate }) {
  const entries = entriesOfBody(fieldsOf("TrainingJobCreate"), body);
  const image = typeof body["docker_image"] === "string" ? "A provider that runs images" : "";
  const gpu = typeof body["gpu_model"] === "string" && body["gpu_model"] !== "cpu" ? `an accelerator (${body["gpu_model"]})` : "";
  const needs = [image, gpu].filter(Boolean).join(", ") || "Nothing: it runs on this machine";
  const request = JSON.stringify(Object.fromEntries(Object.entries(body).filter(([path]) => path in entries)));
  return <Card title={words(name).replaceAll("-", " ").replace(/\bgpu\b/, "GPU")} about={summary} needs={needs.charAt(0).toUpperCase() + needs.slice(1)} entries={entries} href={`/gpus?template=${encodeURIComponent(name)}`} command={request} />;
}

interface CardProps {
  title: string;
  about: string;
  needs: string;
  entries: Entries;
  href: string;
  /** The same without this page: a command, or the body of the request. */
  command: string;
}

function Card({ title, about, needs, entries, href, command }: CardProps) {
  return (
    <li className="panel flex min-w-0 flex-col gap-3 p-4">
      <div>
        <h3 className="text-base font-semibold first-letter:uppercase">{title}</h3>
        <p className="mt-0.5 text-muted">
          <Prose text={about} />
        </p>
      </div>
      <dl className="grid grid-cols-[auto_minmax(0,1fr)] gap-x-4 text-xs">
        {Object.entries(entries).map(([path, value]) => (
          <div key={path} className="contents">
            <dt className="font-mono text-muted">{path}</dt>
            <dd className="num truncate text-right font-mono" title={value}>
              {value}
            </dd>
          </div>
        ))}
      </dl>
      <p className="mt-auto text-xs text-muted">Needs: {needs}</p>
      <div className="flex items-center gap-2">
        <Link data-row href={href} aria-label={`Use it: ${title}`} className="inline-flex h-8 items-center rounded-md border border-line-strong px-3 font-medium hover:bg-sunken">
          Use it
        </Link>
        <code className="min-w-0 flex-1 truncate font-mono text-2xs text-muted" title={command}>
          {command}
        </code>
        <CopyButton text={command} label={`Copy the command of ${title}`} />
      </div>
    </li>
  );
}
