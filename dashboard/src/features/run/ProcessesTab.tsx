import type { Schemas } from "@/client/api";
import { duration, number } from "@/ui/format";
import { Empty } from "@/ui/states";
import { Status } from "@/ui/Status";

const SILENT_S = 15;

/** What each process of the run last said of itself. */
export function ProcessesTab({ processes }: { processes: Schemas["ProcessHealth"][] }) {
  if (processes.length === 0) return <Empty title="This run has no process yet" />;
  return (
    <ul className="columns-1 gap-3 md:columns-2 xl:columns-3">
      {processes.map((process) => (
        <Process key={process.id} process={process} />
      ))}
    </ul>
  );
}

function Process({ process }: { process: Schemas["ProcessHealth"] }) {
  const { role, index, status, detail, attempt, heartbeat_age_s: age, metrics, id } = process;
  const isSilent = status === "running" && age !== null && age > SILENT_S;
  return (
    <li className="panel mb-3 flex break-inside-avoid flex-col">
      <header className="flex items-center justify-between gap-2 border-b px-3 py-2">
        <h3 className="font-medium">{role === "worker" ? `worker ${index}` : role}</h3>
        <Status status={status} />
      </header>
      <p className="px-3 pt-2 break-words">{detail || "–"}</p>
      <p className={`px-3 pb-2 text-xs ${isSilent ? "text-bad" : "text-muted"}`}>
        {age === null ? "No sign of life yet" : `Last sign of life ${duration(age)} ago`}
        {attempt > 1 && `, attempt ${attempt}`}
        <span className="block truncate font-mono text-2xs text-faint">{id}</span>
      </p>
      {Object.keys(metrics).length > 0 && (
        <dl className="mt-auto grid grid-cols-[1fr_auto] gap-x-4 border-t px-3 py-2 text-xs">
          {Object.entries(metrics)
            .sort(([a], [b]) => a.localeCompare(b))
            .map(([name, value]) => (
              <div key={name} className="contents">
                <dt className="truncate text-muted">{name.replaceAll("_", " ")}</dt>
                <dd className="num text-right">{number(value)}</dd>
              </div>
            ))}
        </dl>
      )}
    </li>
  );
}
