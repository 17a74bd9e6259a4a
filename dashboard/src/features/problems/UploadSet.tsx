"use client";

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import type { Schemas } from "@/client/api";
import { ApiError } from "@/client/errors";
import { Button } from "@/ui/Button";
import { Dialog } from "@/ui/Dialog";
import { Field, INPUT } from "@/ui/Field";
import { number } from "@/ui/format";
import { ErrorState } from "@/ui/states";
import { upload } from "./upload";

/** A JSONL file becomes a named, immutable version of a problem set; every line that is wrong is named. */
export default function UploadSet({ onClose }: { onClose: () => void }) {
  const queries = useQueryClient();
  const [progress, setProgress] = useState("");
  const send = useMutation({
    mutationFn: ({ file, name, isDryRun }: { file: File; name: string; isDryRun: boolean }) => upload(file, { name, isDryRun }, setProgress),
    onSettled: () => {
      setProgress("");
      return queries.invalidateQueries({ queryKey: ["problem-sets"] });
    },
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const isDryRun = (event.nativeEvent as SubmitEvent).submitter?.getAttribute("value") === "check";
    send.mutate({ file: form.get("file") as File, name: String(form.get("name")), isDryRun });
  };
  return (
    <Dialog title="Upload problems" isOpen onClose={onClose} width={620}>
      <form onSubmit={submit}>
        <div className="flex flex-col gap-3 p-4">
          <p className="text-muted">One problem per line, as JSON: a prompt, tests, and a solution that must pass them. docs/problem-format.md explains every field.</p>
          <Field label="Name" hint="What runs call the set. The same name again makes a new version of it.">
            {(control) => <input {...control} name="name" required pattern="[a-z0-9][a-z0-9_.\-]{0,63}" placeholder="my-problems" autoComplete="off" className={`${INPUT} font-mono`} />}
          </Field>
          <Field label="File" hint="JSONL, up to 64 MB from this page.">
            {(control) => <input {...control} name="file" type="file" required accept=".jsonl,.json,.txt" className="text-muted file:mr-3 file:h-8 file:rounded-md file:border file:border-line-strong file:bg-panel file:px-3 file:text-text" />}
          </Field>
        </div>
        {send.error && <Refusal error={send.error} />}
        {send.data && <Done uploaded={send.data} isDryRun={send.variables?.isDryRun ?? false} />}
        <footer className="flex items-center justify-end gap-2 border-t px-4 py-3">
          <span className="mr-auto text-muted" role="status">
            {progress}
          </span>
          <Button type="submit" value="check" isBusy={send.isPending && send.variables.isDryRun}>
            Only check
          </Button>
          <Button look="primary" type="submit" value="upload" isBusy={send.isPending && !send.variables.isDryRun}>
            Upload
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}

/** The mistakes one under the other, each with its line. */
function Refusal({ error }: { error: Error }) {
  const mistakes = error.message.split("; ");
  if (!(error instanceof ApiError) || mistakes.length < 2) return <ErrorState error={error} />;
  return (
    <div role="alert" className="mx-4 mb-4 rounded-lg border border-bad/40 bg-bad-soft p-3">
      <p className="font-medium">{mistakes.length} mistakes</p>
      <ul className="mt-1 max-h-48 overflow-y-auto font-mono text-xs">
        {mistakes.map((mistake) => (
          <li key={mistake} className="break-words">
            {mistake}
          </li>
        ))}
      </ul>
    </div>
  );
}

function Done({ uploaded: { version, created }, isDryRun }: { uploaded: Schemas["ProblemSetUploaded"]; isDryRun: boolean }) {
  return (
    <div role="status" className="mx-4 mb-4 rounded-lg bg-good-soft p-3" data-testid="uploaded">
      <p className="font-medium text-good">{isDryRun ? "Nothing is wrong with it" : created ? `${version.ref} is there` : `${version.ref} was there already`}</p>
      <p className="num">
        {number(version.counts.problems)} problems in {number(version.counts.families)} families, {number(version.solutions_checked)} solutions judged
      </p>
      {version.notes.map((note) => (
        <p key={note} className="text-muted">
          {note}
        </p>
      ))}
    </div>
  );
}
