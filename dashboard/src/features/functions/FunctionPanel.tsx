"use client";

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { ApiError } from "@/client/errors";
import { Ago } from "@/ui/Ago";
import { Button } from "@/ui/Button";
import { Confirm } from "@/ui/Confirm";
import { duration } from "@/ui/format";
import { ErrorState, Loaded } from "@/ui/states";
import { Status } from "@/ui/Status";
import { invoke, listExecutions, readLogs, remove, type Execution, type FunctionView } from "./functions";

/** One function: what it is, a call by hand, and its last calls. */
export function FunctionPanel({ shown: { name, version, spec } }: { shown: FunctionView }) {
  const queries = useQueryClient();
  const [isAsking, setAsking] = useState(false);
  const deletion = useMutation({
    mutationFn: () => remove(name),
    onSuccess: () => {
      setAsking(false);
      return queries.invalidateQueries({ queryKey: ["functions"] });
    },
  });
  return (
    <section className="panel min-w-0 overflow-hidden" aria-label={`Function ${name}`}>
      <header className="flex flex-wrap items-center justify-between gap-2 border-b px-4 py-2.5">
        <div>
          <h2 className="font-mono font-medium">{name}</h2>
          <p className="num text-xs text-muted">
            version {version}, {spec.entry}, {spec.gpu ? `a job on ${spec.gpu.provider} (${spec.gpu.model})` : `${spec.memory} MB`}, at most {duration(spec.timeout)}
            {spec.requirements.length > 0 && `, with ${spec.requirements.join(", ")}`}
          </p>
        </div>
        <Button onClick={() => setAsking(true)}>Delete</Button>
      </header>
      <details>
        <summary className="px-4 py-2 text-xs text-muted select-none">Its code</summary>
        <pre tabIndex={0} className="max-h-72 overflow-auto border-t bg-sunken p-3 font-mono text-xs">{spec.code}</pre>
      </details>
      <Call name={name} costs={spec.gpu !== null} />
      <Executions name={name} />
      <Confirm title={`Delete ${name}?`} action="Delete it" isOpen={isAsking} isBusy={deletion.isPending} error={deletion.error} onConfirm={() => deletion.mutate()} onClose={() => setAsking(false)}>
        <p>It can no longer be called, and its endpoints are gone.</p>
      </Confirm>
    </section>
  );
}

function Call({ name, costs }: { name: string; costs: boolean }) {
  const queries = useQueryClient();
  const [input, setInput] = useState("");
  const call = useMutation({ mutationFn: () => invoke(name, input), onSettled: () => queries.invalidateQueries({ queryKey: ["executions", name] }) });
  return (
    <form
      className="border-t"
      onSubmit={(event) => {
        event.preventDefault();
        call.mutate();
      }}
    >
      <textarea
        aria-label="Input as JSON"
        placeholder='its input as JSON, for example {"x": 1}'
        rows={3}
        value={input}
        spellCheck={false}
        onChange={(event) => setInput(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) call.mutate();
        }}
        className="block w-full resize-y bg-panel p-3 font-mono text-xs focus-visible:outline-offset-[-2px]"
      />
      <div className="flex items-center justify-end gap-3 border-t px-4 py-2">
        <span className="mr-auto text-xs text-muted">{costs ? "Each call is a job that may cost money" : "Each call runs in a fresh sandbox"}</span>
        <Button look="primary" type="submit" isBusy={call.isPending}>
          Call it
        </Button>
      </div>
      {call.error && (call.error instanceof ApiError ? <ErrorState error={call.error} /> : <p role="alert" className="px-4 pb-3 text-bad">The input is no JSON: {call.error.message}</p>)}
      {call.data && (
        <div className="border-t p-4" role="status" data-testid="call-result">
          <Outcome execution={call.data} />
        </div>
      )}
    </form>
  );
}

function Outcome({ execution: { status, output, error_message, error_traceback, duration_ms, is_cold } }: { execution: Execution }) {
  return (
    <>
      <p className="num flex flex-wrap items-center gap-2 text-muted">
        <Status status={status} /> {duration_ms !== null && `in ${duration(duration_ms / 1000)}`} {is_cold === null ? "" : is_cold ? "(no sandbox was ready)" : "(a sandbox was ready)"}
      </p>
      {error_message && <p className="mt-2 break-words text-bad">{error_message}</p>}
      <pre tabIndex={0} className="mt-2 max-h-64 overflow-auto rounded-md bg-sunken p-3 font-mono text-xs break-all whitespace-pre-wrap">{error_traceback ?? JSON.stringify(output, null, 2)}</pre>
    </>
  );
}

function Executions({ name }: { name: string }) {
  const [opened, setOpened] = useState("");
  const { data, error, refetch } = useQuery({ queryKey: ["executions", name], queryFn: () => listExecutions(name), refetchInterval: 5_000 });
  return (
    <div className="border-t">
      <h3 className="px-4 pt-3 pb-1 text-xs text-muted">Last calls</h3>
      <Loaded data={data} error={error} onRetry={() => void refetch()}>
        {(executions) => (
          <ul className="max-h-72 overflow-y-auto" aria-label="Last calls">
            {executions.map(({ execution_id, status, duration_ms, created_at, error_message }) => (
              <li key={execution_id} className="border-t">
                <button type="button" aria-expanded={execution_id === opened} onClick={() => setOpened(execution_id === opened ? "" : execution_id)} className="flex w-full items-center gap-3 px-4 py-1.5 text-left hover:bg-sunken/60">
                  <Status status={status} />
                  <span className="font-mono text-xs">{execution_id}</span>
                  {error_message && (
                    <span className="hidden min-w-0 flex-1 truncate text-xs text-muted sm:inline" title={error_message}>
                      {error_message}
                    </span>
                  )}
                  <span className="num ml-auto text-xs text-muted">{duration(duration_ms === null ? null : duration_ms / 1000)}</span>
                  <span className="text-xs text-muted">
                    <Ago time={created_at} />
                  </span>
                </button>
                {execution_id === opened && <Printed id={execution_id} />}
              </li>
            ))}
            {executions.length === 0 && <li className="px-4 pb-3 text-muted">Nobody has called it.</li>}
          </ul>
        )}
      </Loaded>
    </div>
  );
}

function Printed({ id }: { id: string }) {
  const { data, error } = useQuery({ queryKey: ["execution-logs", id], queryFn: () => readLogs(id) });
  return (
    <Loaded data={data} error={error}>
      {({ stdout, stderr }) => <pre tabIndex={0} className="max-h-48 overflow-auto bg-sunken px-4 py-2 font-mono text-2xs break-all whitespace-pre-wrap">{`${stdout}${stderr}` || "It printed nothing."}</pre>}
    </Loaded>
  );
}
