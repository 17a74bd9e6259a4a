"use client";

import clsx from "clsx";
import { useEffect, useRef, useState } from "react";
import { Icon } from "./Icon";
import { INPUT } from "./Field";

interface Props {
  value: string;
  onChange: (value: string) => void;
  label: string;
  className?: string;
}

/** What is typed stands there at once; the page is searched when the hand rests for this long. */
const RESTS_MS = 120;

/** The page's search field: `/` goes to it, Escape leaves it. */
export function SearchInput({ value, onChange, label, className }: Props) {
  const [text, setText] = useState(value);
  const [told, setTold] = useState(value);
  const [seen, setSeen] = useState(value);
  if (value !== seen) {
    setSeen(value);
    if (value !== told) {
      // Changed by somebody else: the address, or a button that clears it. An echo of what was told may come late.
      setTold(value);
      setText(value);
    }
  }
  const tell = useRef(onChange);
  useEffect(() => {
    tell.current = onChange;
  });
  useEffect(() => {
    if (text === told) return;
    const timer = setTimeout(() => {
      setTold(text);
      tell.current(text);
    }, RESTS_MS);
    return () => clearTimeout(timer);
  }, [text, told]);
  return (
    <div className={clsx("relative w-full sm:w-64", className)}>
      <span className="pointer-events-none absolute inset-y-0 left-2 flex items-center text-faint">
        <Icon name="search" size={14} />
      </span>
      <input
        type="search"
        aria-label={label}
        placeholder={label}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
        className={clsx(INPUT, "pl-7")}
      />
    </div>
  );
}
