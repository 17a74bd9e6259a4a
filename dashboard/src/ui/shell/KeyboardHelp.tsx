"use client";

import { useRouter } from "next/navigation";
import { useEffect, useRef, useState } from "react";
import { Dialog } from "@/ui/Dialog";
import { PAGES } from "./navigation";

const OTHERS = [
  ["/", "Search this page"],
  ["j  k", "Next and previous row"],
  ["Enter", "Open the row"],
  ["n", "New: a run, a sandbox, a job"],
  ["Esc", "Close"],
  ["?", "This list"],
] as const;

/** `g` then a letter goes to a page, `/` to the search field, `?` shows the list. Not while something is typed. */
export function KeyboardHelp() {
  const router = useRouter();
  const [isOpen, setOpen] = useState(false);
  const pressedG = useRef(0);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      const page = PAGES.find((each) => each.key === event.key);
      if (page && performance.now() - pressedG.current < 1500) router.push(page.href);
      else if (event.key === "?") setOpen(true);
      else if (event.key === "/") focusSearch(event);
      else if (event.key === "n" && !document.querySelector("dialog[open]")) document.querySelector<HTMLElement>("[data-new]")?.click();
      pressedG.current = event.key === "g" ? performance.now() : 0;
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [router]);
  return (
    <Dialog title="Keyboard" isOpen={isOpen} onClose={() => setOpen(false)} width={380}>
      <dl className="grid grid-cols-[90px_1fr] gap-y-1.5 p-4">
        {[...PAGES.map((page) => [`g ${page.key}`, page.label] as const), ...OTHERS].map(([keys, text]) => (
          <div key={keys} className="contents">
            <dt className="font-mono text-xs text-muted">{keys}</dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}

/** Whether keys belong to the element that has the focus. */
export function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));
}

function focusSearch(event: KeyboardEvent): void {
  const search = document.querySelector<HTMLInputElement>("input[type=search]");
  if (!search) return;
  event.preventDefault();
  search.focus();
}
