"use client";

import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { Button } from "@/ui/Button";
import { Dialog } from "@/ui/Dialog";
import { Field, INPUT } from "@/ui/Field";
import { Prose } from "@/ui/Prose";
import { ErrorState } from "@/ui/states";
import { deploy } from "./functions";

const EXAMPLE = `def handler(event):
    return {"doubled": 2 * event["x"]}
`;

/** A module and the name that it is called by; the same name again is a new version. */
export function DeployFunction({ onClose, onDone }: { onClose: () => void; onDone: (name: string) => void }) {
  const [name, setName] = useState("");
  const [entry, setEntry] = useState("handler");
  const [code, setCode] = useState(EXAMPLE);
  const send = useMutation({ mutationFn: () => deploy({ name, code, entry }), onSuccess: () => onDone(name) });
  return (
    <Dialog title="Deploy a function" isOpen onClose={onClose} width={720}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          send.mutate();
        }}
      >
        <div className="grid gap-3 p-4 sm:grid-cols-2">
          <Field label="Name" hint="The same name again makes a new version of it.">
            {(control) => <input {...control} required pattern="[A-Za-z0-9][A-Za-z0-9_\-]{0,79}" className={`${INPUT} font-mono`} value={name} autoComplete="off" onChange={(event) => setName(event.target.value)} />}
          </Field>
          <Field label="Entry" hint="The function that is called with the input.">
            {(control) => <input {...control} required className={`${INPUT} font-mono`} value={entry} autoComplete="off" onChange={(event) => setEntry(event.target.value)} />}
          </Field>
          <Field label="Code" hint={<Prose text="A Python module. Packages, memory, time and accelerators: `skyscale deploy` and the SDK." />} className="sm:col-span-2">
            {(control) => <textarea {...control} required rows={12} spellCheck={false} className="rounded-md border border-line-strong bg-panel p-3 font-mono text-xs" value={code} onChange={(event) => setCode(event.target.value)} />}
          </Field>
        </div>
        {send.error && <ErrorState error={send.error} />}
        <footer className="sticky bottom-0 flex justify-end gap-2 border-t bg-panel px-4 py-3">
          <Button onClick={onClose}>Cancel</Button>
          <Button look="primary" type="submit" isBusy={send.isPending}>
            Deploy
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}
