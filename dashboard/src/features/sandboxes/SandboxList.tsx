"use client";

import type { Schemas } from "@/client/api";
import { Ago } from "@/ui/Ago";
import { Status } from "@/ui/Status";
import { useRowKeys } from "@/ui/useRowKeys";

interface Props {
  sandboxes: Schemas["SandboxView"][];
  selected: string | null;
  onSelect: (id: string) => void;
}

/** Open ones first, then those that ended, newest first. */
export function SandboxList({ sandboxes, selected, onSelect }: Props) {
  const rows = useRowKeys<HTMLUListElement>();
  const isOpen = ({ status }: Schemas["SandboxView"]) => status !== "destroyed";
  const ordered = [...sandboxes.filter(isOpen), ...sandboxes.filter((each) => !isOpen(each))];
  return (
    <section className="panel overflow-hidden" aria-label="List of sandboxes">
      <p className="border-b px-3 py-2 text-muted">
        {sandboxes.filter(isOpen).length} open, {sandboxes.filter((each) => !isOpen(each)).length} destroyed
      </p>
      <ul ref={rows} className="max-h-[30dvh] overflow-y-auto lg:max-h-[70dvh]">
        {ordered.map(({ id, status, runtime, backend, created_at }) => (
          <li key={id} className="border-b last:border-b-0">
            <button type="button" data-row aria-current={id === selected || undefined} onClick={() => onSelect(id)} className={`flex w-full flex-col gap-0.5 px-3 py-2 text-left ${id === selected ? "bg-sunken" : "hover:bg-sunken/60"}`}>
              <span className="flex w-full items-center justify-between gap-2">
                <span className="truncate font-mono text-xs font-medium">{id}</span>
                <Status status={status} />
              </span>
              <span className="flex w-full justify-between gap-2 text-xs text-muted">
                <span>
                  {runtime} · {backend}
                </span>
                <Ago time={created_at} />
              </span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
