"use client";

import { useMutation, useQuery } from "@tanstack/react-query";
import { useRouter } from "next/navigation";
import { useMemo, useState } from "react";
import { api, bodyOf, type Schemas } from "@/client/api";
import { ApiError } from "@/client/errors";
import { bodyOfEntries, errorsByField, fieldsOf, type Entries } from "@/features/forms/fields";
import { FormControl } from "@/features/forms/FormControl";
import { Button } from "@/ui/Button";
import { CopyButton } from "@/ui/CopyButton";
import { Dialog } from "@/ui/Dialog";
import { ErrorState } from "@/ui/states";
import { useDelayed } from "@/ui/useDelayed";
import { Price } from "./Price";
import { cliLine, groupsOf } from "./startForm";

const CHECK_AFTER_MS = 400;

/** Explains each field, checks what is typed with the server as a dry run, starts the run, and goes to it. */
export default function StartRun({ initial, onClose }: { initial: Entries; onClose: () => void }) {
  const router = useRouter();
  const [entries, setEntries] = useState(initial);
  const fields = useMemo(() => fieldsOf("RunCreate"), []);
  const body = useMemo(() => bodyOfEntries(fields, entries), [fields, entries]);
  const check = useDryRun(body);
  const start = useMutation({ mutationFn: create, onSuccess: ({ run_id }) => router.push(`/run?id=${run_id}`) });
  const refused = [start.error, check.error].find((error) => error instanceof ApiError) ?? null;
  const errors = refused ? errorsByField(refused.message, fields) : {};
  const isExplained = Object.keys(errors).length > 0;
  return (
    <Dialog title="Start a run" isOpen onClose={onClose} width={820}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          start.mutate(body);
        }}
      >
        <FormFields entries={entries} errors={errors} onChange={(path, value) => setEntries({ ...entries, [path]: value })} />
        {refused && !isExplained && <ErrorState error={refused} />}
        <Resolved check={check.data ?? null} body={body} />
        <footer className="sticky bottom-0 flex items-center justify-end gap-3 border-t bg-panel px-4 py-3">
          <span className="mr-auto text-muted" role="status">
            {check.isFetching ? "Checking …" : refused ? "Not ready: see above" : check.data ? "Checked by a dry run: ready" : ""}
          </span>
          <Button onClick={onClose}>Cancel</Button>
          <Button look="primary" type="submit" isBusy={start.isPending} disabled={check.error !== null}>
            Start the run
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}

interface FormFieldsProps {
  entries: Entries;
  errors: Record<string, string>;
  onChange: (path: string, value: string) => void;
}

function FormFields({ entries, errors, onChange }: FormFieldsProps) {
  const { essential, more } = useMemo(() => groupsOf(fieldsOf("RunCreate")), []);
  const grid = (fields: typeof essential) => (
    <div className="grid gap-x-4 gap-y-3 sm:grid-cols-2 md:grid-cols-3">
      {fields.map((field) => (
        <FormControl key={field.path} field={field} value={entries[field.path] ?? ""} error={errors[field.path]} onChange={(value) => onChange(field.path, value)} />
      ))}
    </div>
  );
  return (
    <div className="flex flex-col gap-4 p-4">
      <p className="text-muted">Everything has a default: an empty form trains the starter model on this machine. Without a limit a run goes on until you stop it.</p>
      {grid(essential)}
      {more.map(({ title, fields }) => (
        <details key={title} className="rounded-lg border" open={fields.some(({ path }) => errors[path] ?? entries[path]) || undefined}>
          <summary className="px-3 py-2 font-medium select-none">
            <span className="capitalize">{title}</span> <span className="font-normal text-muted">{fields.length} settings</span>
          </summary>
          <div className="border-t p-3">{grid(fields)}</div>
        </details>
      ))}
    </div>
  );
}

/** What the server made of the request, and the same as a command. */
function Resolved({ check, body }: { check: Schemas["RunCreated"] | null; body: Record<string, unknown> }) {
  const line = cliLine(body);
  const { algorithm, sampling } = check?.spec ?? {};
  const estimate = check?.estimate ?? null;
  return (
    <div className="mx-4 mb-4 flex flex-col gap-2 rounded-lg bg-sunken p-3">
      {check && algorithm && (
        <p className="text-muted">
          Each step trains on {algorithm.groups_per_step} groups of {algorithm.group_size} answers ({(algorithm.groups_per_step ?? 0) * (algorithm.group_size ?? 0)} trajectories) of at most {sampling?.max_new_tokens} tokens, learning rate {algorithm.learning_rate}, at most {algorithm.max_staleness} versions old. {!estimate && spending(check.spec)}
        </p>
      )}
      {estimate && <Price estimate={estimate} />}
      <p className="flex items-start gap-2">
        <code className="min-w-0 flex-1 font-mono text-2xs break-all">{line}</code>
        <CopyButton text={line} label="Copy the command" />
      </p>
    </div>
  );
}

function spending({ provider }: Schemas["RunSpec"]): string {
  if (provider === "auto") return "Providers are asked in the order of GPU_PROVIDER_ORDER; the page On-Demand GPUs has their prices.";
  return provider === "local" ? "It runs on this machine and costs nothing." : `It runs on ${provider}, which charges you.`;
}

function useDryRun(body: Record<string, unknown>) {
  const settled = useDelayed(JSON.stringify(body), CHECK_AFTER_MS);
  return useQuery({
    queryKey: ["dry-run", settled],
    queryFn: () => create({ ...(JSON.parse(settled) as object), dry_run: true }),
    staleTime: Infinity,
    retry: false,
  });
}

function create(body: Record<string, unknown>): Promise<Schemas["RunCreated"]> {
  return bodyOf(api.POST("/api/rl/runs", { body: body as Schemas["RunCreate"] }));
}
