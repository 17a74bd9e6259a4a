"use client";

import clsx from "clsx";
import { Icon } from "./Icon";
import { INPUT } from "./Field";

interface Props {
  value: string;
  onChange: (value: string) => void;
  label: string;
  className?: string;
}

/** The page's search field: `/` goes to it, Escape leaves it. */
export function SearchInput({ value, onChange, label, className }: Props) {
  return (
    <div className={clsx("relative w-full sm:w-64", className)}>
      <span className="pointer-events-none absolute inset-y-0 left-2 flex items-center text-faint">
        <Icon name="search" size={14} />
      </span>
      <input
        type="search"
        aria-label={label}
        placeholder={label}
        value={value}
        onChange={(event) => onChange(event.target.value)}
        onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
        className={clsx(INPUT, "pl-7")}
      />
    </div>
  );
}
