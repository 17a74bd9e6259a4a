"use client";

import { useCallback, useSyncExternalStore } from "react";
import type { XAxis } from "./history";
import type { Smoothing } from "./smooth";

/** How a person likes charts; kept in this browser. */
export interface ViewSettings {
  axis: XAxis;
  isLog: boolean;
  smoothing: Exclude<Smoothing, { kind: "none" }>;
}

const KEY = "skyscale-charts";
const INITIAL: ViewSettings = { axis: "step", isLog: false, smoothing: { kind: "ema", amount: 0.8 } };
const watchers = new Set<() => void>();
let kept: ViewSettings | null = null;

export function useViewSettings(): [ViewSettings, (change: Partial<ViewSettings>) => void] {
  const settings = useSyncExternalStore(subscribe, current, () => INITIAL);
  const change = useCallback((part: Partial<ViewSettings>) => {
    kept = { ...current(), ...part };
    localStorage.setItem(KEY, JSON.stringify(kept));
    for (const watcher of watchers) watcher();
  }, []);
  return [settings, change];
}

function subscribe(watcher: () => void): () => void {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

function current(): ViewSettings {
  kept ??= load();
  return kept;
}

function load(): ViewSettings {
  try {
    return { ...INITIAL, ...(JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<ViewSettings>) };
  } catch {
    return INITIAL; // Not JSON: somebody else wrote there.
  }
}
