"use client";

import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import dynamic from "next/dynamic";
import { useState } from "react";
import { api, bodyOf, type Schemas } from "@/client/api";
import { Button } from "@/ui/Button";
import { INPUT } from "@/ui/Field";
import { Icon } from "@/ui/Icon";
import { PageHeader } from "@/ui/PageHeader";
import { SearchInput } from "@/ui/SearchInput";
import { Empty, Loaded, Loading } from "@/ui/states";
import { useQueryState } from "@/ui/useQueryState";
import { useRowKeys } from "@/ui/useRowKeys";
import { ProblemPanel } from "./ProblemPanel";
import { EMBEDDED, SetBar, useProblemSets } from "./SetBar";

const UploadSet = dynamic(() => import("./UploadSet"), { ssr: false });

type Problem = Schemas["PublicProblem"];
type Page = Pick<Schemas["ProblemPage"], "problems" | "next_cursor">;
const PAGE = 100;

/** The tasks that a model learns; each can be tried by hand, judged as a model's answer is. */
export function ProblemsPage() {
  const [difficulty, setDifficulty] = useQueryState("difficulty", "", "id");
  const [split, setSplit] = useQueryState("split", "", "id");
  const [set, setSet] = useQueryState("set", EMBEDDED, "id");
  const [isUploading, setUploading] = useState(false);
  const sets = useProblemSets().data?.problem_sets ?? [];
  const setRef = set === EMBEDDED ? EMBEDDED : (sets.find(({ name }) => name === set)?.current.ref ?? null);
  const { data, error, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } = useProblems(set, difficulty, split);
  return (
    <>
      <PageHeader title="Problems" subtitle="Tasks whose answers can be checked. The hidden tests that decide the reward never leave the server.">
        <Button look="primary" data-new onClick={() => setUploading(true)}>
          <Icon name="plus" size={14} /> Upload problems
        </Button>
      </PageHeader>
      <SetBar selected={set} onSelect={setSet} />
      {isUploading && <UploadSet onClose={() => setUploading(false)} />}
      <Loaded data={data} error={error} onRetry={() => void refetch()}>
        {(problems) => (
          <Problems
            problems={problems}
            setRef={setRef}
            filters={
              <>
                <Filter label="Difficulty" value={difficulty} options={["easy", "medium", "hard"]} onChange={setDifficulty} />
                <Filter label="Split" value={split} options={["train", "heldout"]} onChange={setSplit} />
              </>
            }
            more={
              hasNextPage && (
                <Button className="m-2" isBusy={isFetchingNextPage} onClick={() => void fetchNextPage()}>
                  Show more
                </Button>
              )
            }
          />
        )}
      </Loaded>
    </>
  );
}

function useProblems(set: string, difficulty: string, split: string) {
  return useInfiniteQuery({
    queryKey: ["problems", set, difficulty, split],
    queryFn: ({ pageParam }): Promise<Page> => {
      const query = { limit: PAGE, ...(difficulty ? { difficulty: difficulty as Problem["difficulty"] } : {}), ...(split ? { split: split as Problem["split"] } : {}) };
      if (set === EMBEDDED) return bodyOf(api.GET("/api/rl/env/problems", { params: { query: { ...query, cursor: pageParam } } }));
      return bodyOf(api.GET("/api/rl/problem-sets/{ref}/problems", { params: { path: { ref: set }, query: { ...query, cursor: Number(pageParam ?? 0) } } }));
    },
    initialPageParam: null as string | null,
    getNextPageParam: ({ next_cursor }: Page) => next_cursor,
    staleTime: 60_000,
    select: ({ pages }) => pages.flatMap(({ problems }) => problems),
  });
}

interface ProblemsProps {
  problems: Problem[];
  setRef: string | null;
  filters: React.ReactNode;
  more: React.ReactNode;
}

function Problems({ problems, setRef, filters, more }: ProblemsProps) {
  const [chosen, setChosen] = useQueryState("id", "");
  const [search, setSearch] = useState("");
  const rows = useRowKeys<HTMLUListElement>();
  const wanted = search.toLowerCase();
  const shown = problems.filter(({ id, family, prompt }) => `${id} ${family} ${prompt}`.toLowerCase().includes(wanted));
  const listed = chosen ? problems.find(({ id }) => id === chosen) : shown[0];
  const named = useProblem(listed || setRef !== EMBEDDED ? "" : chosen);
  const selected = listed ?? named.data;
  return (
    <div className="grid gap-4 px-4 pb-8 md:px-6 lg:grid-cols-[minmax(320px,5fr)_minmax(0,7fr)]">
      <section className="panel self-start overflow-hidden" aria-label="List of problems">
        <div className="flex flex-wrap items-center gap-2 border-b p-2">
          <SearchInput value={search} onChange={setSearch} label="Search problems" className="sm:w-auto! sm:flex-1" />
          {filters}
        </div>
        <ul ref={rows} className="max-h-[34dvh] overflow-y-auto lg:max-h-[72dvh]">
          {shown.map((problem) => (
            <li key={problem.id} className="border-b last:border-b-0">
              <ProblemRow problem={problem} isSelected={problem.id === selected?.id} onSelect={() => setChosen(problem.id)} />
            </li>
          ))}
          {shown.length === 0 && <li className="p-6 text-center text-muted">No problem matches.</li>}
          {more && <li>{more}</li>}
        </ul>
        <p className="num border-t px-3 py-1.5 text-xs text-muted">
          {shown.length.toLocaleString("en")} problems{more ? " so far" : ""}
        </p>
      </section>
      {selected ? <ProblemPanel key={`${setRef} ${selected.id}`} problem={selected} setRef={setRef} /> : <NoProblem wanted={chosen} isLoading={named.isFetching} />}
    </div>
  );
}

/** A problem of the embedded set that an address names and the list has not reached. */
function useProblem(id: string) {
  return useQuery({
    queryKey: ["problem", id],
    queryFn: () => bodyOf(api.GET("/api/rl/env/problems/{problem_id}", { params: { path: { problem_id: id } } })),
    enabled: id !== "",
    retry: false,
  });
}

function NoProblem({ wanted, isLoading }: { wanted: string; isLoading: boolean }) {
  if (isLoading) return <Loading />;
  if (!wanted) return <Empty title="No problem is chosen" />;
  return <Empty title={`There is no problem ${wanted} here`}>It may be of another set, or further down the list of this one.</Empty>;
}

function ProblemRow({ problem, isSelected, onSelect }: { problem: Problem; isSelected: boolean; onSelect: () => void }) {
  return (
    <button type="button" data-row aria-current={isSelected || undefined} onClick={onSelect} className={`flex w-full flex-col px-3 py-1.5 text-left ${isSelected ? "bg-sunken" : "hover:bg-sunken/60"}`}>
      <span className="flex w-full justify-between gap-2">
        <span className="truncate font-mono text-xs font-medium">{problem.id}</span>
        <span className="text-xs whitespace-nowrap text-muted">
          {problem.difficulty} · {problem.split}
        </span>
      </span>
      <span className="w-full truncate text-muted">{problem.prompt}</span>
    </button>
  );
}

function Filter({ label, value, options, onChange }: { label: string; value: string; options: string[]; onChange: (value: string) => void }) {
  return (
    <select aria-label={label} className={`${INPUT} w-auto!`} value={value} onChange={(event) => onChange(event.target.value)}>
      <option value="">{label.toLowerCase()}</option>
      {options.map((option) => (
        <option key={option}>{option}</option>
      ))}
    </select>
  );
}
