import Link from "next/link";
import { cliLine } from "@/features/runs/startForm";
import { CopyButton } from "@/ui/CopyButton";
import { PageHeader } from "@/ui/PageHeader";
import { TEMPLATES, type Template } from "./templates";

/** Runs to start from; each opens the dialog with its changes filled in and checked. */
export function TemplatesPage() {
  return (
    <>
      <PageHeader title="Templates" subtitle="Runs to start from. Each opens the start dialog with its changes filled in; nothing starts before you say so." />
      <ul className="grid gap-3 px-4 pb-8 sm:grid-cols-2 md:px-6 xl:grid-cols-3">
        {TEMPLATES.map((template) => (
          <Card key={template.id} template={template} />
        ))}
      </ul>
    </>
  );
}

function Card({ template: { id, title, about, needs, entries } }: { template: Template }) {
  const line = cliLine(entries);
  return (
    <li className="panel flex min-w-0 flex-col gap-3 p-4">
      <div>
        <h2 className="text-base font-semibold">{title}</h2>
        <p className="mt-0.5 text-muted">{about}</p>
      </div>
      <dl className="grid grid-cols-[auto_1fr] gap-x-4 text-xs">
        {Object.entries(entries).map(([path, value]) => (
          <div key={path} className="contents">
            <dt className="font-mono text-muted">{path}</dt>
            <dd className="num text-right font-mono break-all">{value}</dd>
          </div>
        ))}
      </dl>
      <p className="mt-auto text-xs text-muted">Needs: {needs}</p>
      <div className="flex items-center gap-2">
        <Link data-row href={`/?start=${id}`} className="inline-flex h-8 items-center rounded-md border border-line-strong px-3 font-medium hover:bg-sunken">
          Use it
        </Link>
        <code className="min-w-0 flex-1 truncate font-mono text-2xs text-muted" title={line}>
          {line}
        </code>
        <CopyButton text={line} label={`Copy the command of ${title}`} />
      </div>
    </li>
  );
}
