"use client";

import clsx from "clsx";
import type { KeyboardEvent } from "react";

interface Props<T extends string> {
  label: string;
  tabs: readonly { id: T; label: string; count?: number | null }[];
  selected: T;
  onSelect: (id: T) => void;
}

/** A row of tabs; arrows move between them. The panel is the caller's and has the id `panel`. */
export function Tabs<T extends string>({ label, tabs, selected, onSelect }: Props<T>) {
  const onKeyDown = (event: KeyboardEvent) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by === undefined) return;
    const next = tabs[(tabs.findIndex((tab) => tab.id === selected) + by + tabs.length) % tabs.length];
    if (!next) return;
    onSelect(next.id);
    event.currentTarget.querySelector<HTMLElement>(`[data-tab="${next.id}"]`)?.focus();
  };
  return (
    <div role="tablist" aria-label={label} onKeyDown={onKeyDown} className="flex gap-4 overflow-x-auto border-b px-4 md:px-6">
      {tabs.map((tab) => (
        <button
          key={tab.id}
          type="button"
          role="tab"
          data-tab={tab.id}
          aria-selected={tab.id === selected}
          aria-controls="panel"
          tabIndex={tab.id === selected ? 0 : -1}
          onClick={() => onSelect(tab.id)}
          className={clsx("-mb-px flex h-9 items-center gap-1.5 border-b-2 whitespace-nowrap", tab.id === selected ? "border-accent font-medium" : "border-transparent text-muted hover:text-text")}
        >
          {tab.label}
          {tab.count !== undefined && tab.count !== null && <span className="num text-xs text-muted">{tab.count.toLocaleString("en")}</span>}
        </button>
      ))}
    </div>
  );
}
