"use client";

import { useCallback, useSyncExternalStore } from "react";
import type { Result } from "./measure";

const KEY = "skyscale-load-speed";
const KEPT = 200;
const NONE: Result[] = [];
const watchers = new Set<() => void>();
let kept: Result[] | null = null;

/** What was measured in this browser, newest first. */
export function useResults(): { results: Result[]; add: (result: Result) => void; clear: () => void } {
  const results = useSyncExternalStore(subscribe, current, () => NONE);
  const add = useCallback((result: Result) => store([result, ...current()].slice(0, KEPT)), []);
  const clear = useCallback(() => store([]), []);
  return { results, add, clear };
}

function store(results: Result[]): void {
  kept = results;
  localStorage.setItem(KEY, JSON.stringify(results));
  for (const watcher of watchers) watcher();
}

function subscribe(watcher: () => void): () => void {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

function current(): Result[] {
  kept ??= load();
  return kept;
}

function load(): Result[] {
  try {
    const read = JSON.parse(localStorage.getItem(KEY) ?? "[]") as unknown;
    return Array.isArray(read) ? (read as Result[]) : [];
  } catch {
    return []; // Not JSON: somebody else wrote there.
  }
}
