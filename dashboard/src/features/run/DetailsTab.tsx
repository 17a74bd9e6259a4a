import type { Schemas } from "@/client/api";
import { CopyButton } from "@/ui/CopyButton";

/** Everything the run was asked to be, resolved, and where its parts lie. */
export function DetailsTab({ run }: { run: Schemas["RunView"] }) {
  const groups = groupsOf(run);
  return (
    <div className="flex flex-col gap-3">
      <p className="flex items-center gap-1 text-muted">
        The specification that all processes of the run read. <CopyButton text={JSON.stringify(run.spec, null, 2)} label="Copy as JSON" />
      </p>
      <div className="columns-1 gap-3 md:columns-2 2xl:columns-3">
        {Object.entries(groups).map(([title, entries]) => (
          <section key={title} className="panel mb-3 break-inside-avoid">
            <h3 className="border-b px-3 py-2 font-medium capitalize">{title.replaceAll("_", " ")}</h3>
            <dl className="grid grid-cols-[minmax(0,2fr)_minmax(0,3fr)] gap-x-3 gap-y-0.5 px-3 py-2">
              {entries.map(([name, value]) => (
                <div key={name} className="contents">
                  <dt className="truncate text-muted" title={name}>{name.replaceAll("_", " ")}</dt>
                  <dd className="num font-mono text-xs leading-5 break-all">{textOf(value)}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </div>
  );
}

function groupsOf({ spec, checkpoint, created_at, rollouts_started_at, ended_at }: Schemas["RunView"]): Record<string, [string, unknown][]> {
  const isGroup = ([, value]: [string, unknown]) => typeof value === "object" && value !== null && !Array.isArray(value);
  const all = Object.entries(spec) as [string, unknown][];
  const nested = all.filter(isGroup).map(([name, value]) => [name, Object.entries(value as object)] as const);
  return {
    run: all.filter((entry) => !isGroup(entry)),
    ...Object.fromEntries(nested),
    life: Object.entries({ created_at, rollouts_started_at, ended_at, newest_weights: checkpoint }),
  };
}

function textOf(value: unknown): string {
  if (value === null || value === undefined) return "–";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
