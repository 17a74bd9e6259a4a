"use client";

import { useMemo, useState, type ReactNode } from "react";
import { ApiError } from "@/client/errors";
import { Button } from "@/ui/Button";
import { Dialog } from "@/ui/Dialog";
import { ErrorState } from "@/ui/states";
import { bodyOfEntries, errorsByField, fieldsOf, type Entries, type FormName } from "./fields";
import { FormControl } from "./FormControl";

interface Props {
  title: string;
  action: string;
  form: FormName;
  /** Fields that are shown at once, in this order; the others are folded away. */
  essential: readonly string[];
  hidden?: readonly string[];
  /** What is filled in already. */
  initial?: Entries;
  intro: ReactNode;
  isBusy: boolean;
  error: Error | null;
  onSubmit: (body: Record<string, unknown>) => void;
  onClose: () => void;
}

/** A form of the API in a dialog: few fields first, the rest folded, refusals beside their fields. */
export function FormDialog({ title, action, form, essential, hidden = [], initial = {}, intro, isBusy, error, onSubmit, onClose }: Props) {
  const [entries, setEntries] = useState<Entries>(initial);
  const fields = useMemo(() => fieldsOf(form), [form]);
  const errors = error instanceof ApiError ? errorsByField(error.message, fields) : {};
  const first = essential.flatMap((path) => fields.find((field) => field.path === path) ?? []);
  const rest = fields.filter((field) => !essential.includes(field.path) && !hidden.includes(field.path));
  const grid = (shown: typeof fields) => (
    <div className="grid gap-x-4 gap-y-3 sm:grid-cols-2">
      {shown.map((field) => (
        <FormControl key={field.path} field={field} value={entries[field.path] ?? ""} error={errors[field.path]} onChange={(value) => setEntries({ ...entries, [field.path]: value })} />
      ))}
    </div>
  );
  return (
    <Dialog title={title} isOpen onClose={onClose} width={620}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          onSubmit(bodyOfEntries(fields, entries));
        }}
      >
        <div className="flex flex-col gap-4 p-4">
          <p className="text-muted">{intro}</p>
          {grid(first)}
          {rest.length > 0 && (
            <details className="rounded-lg border" open={rest.some(({ path }) => errors[path] ?? initial[path]) || undefined}>
              <summary className="px-3 py-2 font-medium select-none">
                More <span className="font-normal text-muted">{rest.length} settings</span>
              </summary>
              <div className="border-t p-3">{grid(rest)}</div>
            </details>
          )}
        </div>
        {error && Object.keys(errors).length === 0 && <ErrorState error={error} />}
        <footer className="sticky bottom-0 flex justify-end gap-2 border-t bg-panel px-4 py-3">
          <Button onClick={onClose}>Cancel</Button>
          <Button look="primary" type="submit" isBusy={isBusy}>
            {action}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}
