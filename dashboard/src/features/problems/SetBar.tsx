"use client";

import { useQuery } from "@tanstack/react-query";
import { api, bodyOf } from "@/client/api";
import { ErrorState } from "@/ui/states";

export const EMBEDDED = "embedded";

export function useProblemSets() {
  return useQuery({ queryKey: ["problem-sets"], queryFn: () => bodyOf(api.GET("/api/rl/problem-sets")), staleTime: 30_000 });
}

/** The problem sets, the embedded one first; a run is told one by its name. */
export function SetBar({ selected, onSelect }: { selected: string; onSelect: (name: string) => void }) {
  const { data, error, refetch } = useProblemSets();
  if (error) return <ErrorState error={error} onRetry={() => void refetch()} />;
  return (
    <div role="group" aria-label="Problem set" className="flex flex-wrap gap-1.5 px-4 pb-3 md:px-6">
      {data?.problem_sets.map(({ name, current, num_versions }) => (
        <button
          key={name}
          type="button"
          aria-pressed={name === selected}
          title={`${current.ref}, ${num_versions} versions`}
          onClick={() => onSelect(name)}
          className={`num h-7 rounded-md border px-2.5 text-xs ${name === selected ? "border-accent bg-accent-soft font-medium text-accent" : "text-muted hover:bg-sunken"}`}
        >
          {name} · {current.counts.problems.toLocaleString("en")}
        </button>
      ))}
    </div>
  );
}
