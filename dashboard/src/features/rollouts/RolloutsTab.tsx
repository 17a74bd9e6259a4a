"use client";

import { useInfiniteQuery } from "@tanstack/react-query";
import type { Schemas } from "@/client/api";
import { api, bodyOf } from "@/client/api";
import { isLive } from "@/features/runs/rules";
import { Button } from "@/ui/Button";
import { Empty, Loaded } from "@/ui/states";
import { useDelayed } from "@/ui/useDelayed";
import { useQueryState } from "@/ui/useQueryState";
import { FilterBar } from "./FilterBar";
import { queryOf, useRolloutFilter, type RolloutFilter } from "./filter";
import { GroupList } from "./GroupList";
import { GroupView } from "./GroupView";

const PAGE = 50;

/** What the model wrote: groups on the left, the completions of one group side by side on the right. */
export function RolloutsTab({ run }: { run: Schemas["RunView"] }) {
  const [filter, change] = useRolloutFilter();
  const [chosen, setChosen] = useQueryState("group", "");
  const { data, error, refetch, isFetching, hasNextPage, fetchNextPage, isFetchingNextPage } = useRollouts(run, filter);
  const isFiltered = Object.values(filter).some(Boolean);
  return (
    <div className="flex flex-col gap-3">
      <FilterBar runId={run.run_id} filter={filter} onChange={change} isBusy={isFetching} onRefresh={() => void refetch()} />
      <Loaded data={data} error={error} onRetry={() => void refetch()}>
        {(rows) => {
          const selected = rows.find(({ group_id }) => group_id === chosen)?.group_id ?? (chosen || rows[0]?.group_id);
          if (rows.length === 0 && !chosen && !hasNextPage) return <Nothing isFiltered={isFiltered} />;
          return (
            <div className="grid gap-3 xl:grid-cols-[330px_minmax(0,1fr)]">
              <div className="panel self-start overflow-hidden">
                <GroupList rows={rows} selected={selected ?? null} onSelect={setChosen} />
                {hasNextPage && (
                  <Button look="ghost" className="w-full" isBusy={isFetchingNextPage} onClick={() => void fetchNextPage()}>
                    {filter.text ? "Search on" : "Older groups"}
                  </Button>
                )}
              </div>
              {selected ? <GroupView key={selected} runId={run.run_id} groupId={selected} search={filter.text} /> : <Empty title="No group is chosen" />}
            </div>
          );
        }}
      </Loaded>
    </div>
  );
}

function Nothing({ isFiltered }: { isFiltered: boolean }) {
  return isFiltered ? <Empty title="No group matches">Take a filter away, or wait for more.</Empty> : <Empty title="Nothing has been played yet">The first groups appear when the policy server is ready.</Empty>;
}

function useRollouts(run: Schemas["RunView"], filter: RolloutFilter) {
  const wanted = useDelayed(JSON.stringify(queryOf(filter)), 300);
  return useInfiniteQuery({
    queryKey: ["rollouts", run.run_id, wanted],
    queryFn: ({ pageParam }) =>
      bodyOf(
        api.GET("/api/rl/runs/{run_id}/rollouts", {
          params: { path: { run_id: run.run_id }, query: { ...(JSON.parse(wanted) as ReturnType<typeof queryOf>), cursor: pageParam, limit: PAGE } },
        }),
      ),
    initialPageParam: null as string | null,
    getNextPageParam: ({ next_cursor }) => next_cursor,
    // While somebody reads, the list stands still; the button beside the filters reads it anew.
    staleTime: isLive(run) ? 15_000 : Infinity,
    select: ({ pages }) => pages.flatMap(({ rollouts }) => rollouts),
  });
}
