"use client";

import { useDeferredValue, useMemo, useState } from "react";
import { Button } from "@/ui/Button";
import { ErrorState } from "@/ui/states";
import { chartsFor } from "./catalog";
import { ChartPanel } from "./ChartPanel";
import { ChartToolbar } from "./ChartToolbar";
import { useHistories, type Followed } from "./useHistories";
import { useViewSettings } from "./viewSettings";

interface Props {
  runs: readonly Followed[];
  /** Index of the run that the pointer is on in a list. */
  highlighted?: number | null;
}

/** All charts of one run, or of several laid over each other. Zooming one zooms all. */
export function ChartGrid({ runs, highlighted = null }: Props) {
  const [view, changeView] = useViewSettings();
  // The control that was used answers at once; drawing six charts anew may come a moment later.
  const drawn = useDeferredValue(view);
  const [range, setRange] = useState<readonly [number, number] | null>(null);
  const [isMore, setMore] = useState(false);
  const { histories, version, isReading, error } = useHistories(runs);
  const key = runs.map(({ run_id }) => run_id).join(",");
  const ids = useMemo(() => key.split(",").filter(Boolean), [key]);
  const names = ids.flatMap((id) => histories.get(id)?.names() ?? []);
  const { main, more } = chartsFor([...new Set(names)].sort());
  return (
    <div className="flex flex-col gap-3">
      <ChartToolbar
        view={view}
        onChange={(change) => {
          if (change.axis) setRange(null);
          changeView(change);
        }}
        isZoomed={range !== null}
        onReset={() => setRange(null)}
      />
      {error && <ErrorState error={error} />}
      <div className="grid gap-3 md:grid-cols-2 2xl:grid-cols-3" aria-busy={isReading}>
        {[...main, ...(isMore ? more : [])].map((kind) => (
          <ChartPanel key={kind.id} kind={kind} runs={ids} histories={histories} version={version} isReading={isReading && !error} view={drawn} range={range} highlighted={highlighted} onZoom={setRange} />
        ))}
      </div>
      {more.length > 0 && (
        <div>
          <Button look="ghost" aria-expanded={isMore} onClick={() => setMore(!isMore)}>
            {isMore ? "Fewer charts" : `${more.length} more charts`}
          </Button>
        </div>
      )}
    </div>
  );
}
