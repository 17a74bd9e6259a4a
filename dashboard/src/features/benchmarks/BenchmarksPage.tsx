"use client";

import { useMutation } from "@tanstack/react-query";
import dynamic from "next/dynamic";
import { useState } from "react";
import { isLive } from "@/features/runs/rules";
import { useTopic } from "@/live/useTopic";
import { Button } from "@/ui/Button";
import { INPUT } from "@/ui/Field";
import { PageHeader } from "@/ui/PageHeader";
import { Empty, ErrorState } from "@/ui/states";
import { KINDS, type Kind, type Result } from "./measure";
import { ResultsTable } from "./ResultsTable";
import { ResultView } from "./ResultView";
import { useResults } from "./resultStore";

const HistoryChart = dynamic(() => import("./HistoryChart"), { ssr: false, loading: () => <div className="h-48" /> });

/** Every number here was measured by a click in this browser; nothing is quoted. */
export function BenchmarksPage() {
  const { results, add, clear } = useResults();
  return (
    <>
      <PageHeader title="Load Speed" subtitle="Measured against this service when you click, from where you are" />
      <div className="flex flex-col gap-4 px-4 pb-8 md:px-6">
        <div className="grid gap-3 md:grid-cols-2">
          {(Object.keys(KINDS) as Kind[]).map((kind) => (
            <Measurement key={kind} kind={kind} last={results.find((result) => result.kind === kind) ?? null} onResult={add} />
          ))}
        </div>
        <section aria-label="History" className="panel overflow-hidden">
          <div className="flex items-center justify-between border-b px-3 py-2">
            <h2 className="font-medium">History of this browser</h2>
            {results.length > 0 && (
              <Button look="ghost" onClick={clear}>
                Clear
              </Button>
            )}
          </div>
          <Trends results={results} />
          {results.length === 0 ? <Empty title="No measurement yet">Click “Measure” above.</Empty> : <ResultsTable results={results} />}
        </section>
      </div>
    </>
  );
}

/** A chart for each kind that was measured more than once. */
function Trends({ results }: { results: Result[] }) {
  const repeated = (Object.keys(KINDS) as Kind[]).map((kind) => ({ kind, own: results.filter((result) => result.kind === kind) })).filter(({ own }) => own.length > 1);
  if (repeated.length === 0) return null;
  return (
    <div className={`grid border-b ${repeated.length > 1 ? "md:grid-cols-2" : ""}`}>
      {repeated.map(({ kind, own }) => (
        <HistoryChart key={kind} kind={kind} results={own} />
      ))}
    </div>
  );
}

function Measurement({ kind, last, onResult }: { kind: Kind; last: Result | null; onResult: (result: Result) => void }) {
  const { title, about, run } = KINDS[kind];
  const [progress, setProgress] = useState("");
  const [runId, setRunId] = useState("");
  const measure = useMutation({
    mutationFn: () => run(setProgress, runId),
    onSuccess: (result) => onResult({ ...result, kind, at: Date.now() }),
    onSettled: () => setProgress(""),
  });
  return (
    <section className="panel flex min-h-40 flex-col" aria-label={title}>
      <header className="flex items-start justify-between gap-3 px-4 pt-3">
        <div>
          <h2 className="text-base font-semibold">{title}</h2>
          <p className="text-muted">{about}</p>
        </div>
        <Button isBusy={measure.isPending} disabled={kind === "policy" && runId === ""} onClick={() => measure.mutate()}>
          Measure
        </Button>
      </header>
      {kind === "policy" && <RunChoice value={runId} onChange={setRunId} />}
      <p className="px-4 text-xs text-muted" role="status">
        {progress}
      </p>
      {measure.error && <ErrorState error={measure.error} />}
      {last ? <ResultView result={last} /> : <p className="m-auto p-4 text-muted">No measurement yet</p>}
    </section>
  );
}

function RunChoice({ value, onChange }: { value: string; onChange: (id: string) => void }) {
  const { data } = useTopic("runs");
  const live = (data?.runs ?? []).filter((run) => isLive(run) && run.stage !== "waiting_for_policy");
  return (
    <div className="px-4 pt-2">
      <select aria-label="Live run" className={INPUT} value={value} onChange={(event) => onChange(event.target.value)}>
        <option value="">{live.length === 0 ? "no run has a policy server now" : "choose a live run"}</option>
        {live.map(({ run_id }) => (
          <option key={run_id}>{run_id}</option>
        ))}
      </select>
    </div>
  );
}
