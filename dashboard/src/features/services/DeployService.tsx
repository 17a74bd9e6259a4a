"use client";

import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { ApiError } from "@/client/errors";
import { Button } from "@/ui/Button";
import { Dialog } from "@/ui/Dialog";
import { Field, INPUT } from "@/ui/Field";
import { Prose } from "@/ui/Prose";
import { ErrorState } from "@/ui/states";
import { bodyOfTyped, deploy, type ServiceTemplate, type Typed } from "./services";

const NOTHING: Typed = { name: "", template: "", image: "", port: "8080", command: "", health: "", variables: {}, more: "", maxCost: "" };

interface Props {
  templates: ServiceTemplate[];
  /** The template that is chosen at first; empty for an image. */
  initial: string;
  onClose: () => void;
  onDone: (name: string) => void;
}

/** A template with its variables, or an image of one's own. */
export function DeployService({ templates, initial, onClose, onDone }: Props) {
  const [typed, setTyped] = useState<Typed>({ ...NOTHING, template: initial });
  const template = templates.find(({ name }) => name === typed.template);
  const send = useMutation({ mutationFn: async () => deploy(bodyOfTyped(typed)), onSuccess: () => onDone(typed.name) });
  const change = (part: Partial<Typed>) => {
    send.reset();
    setTyped({ ...typed, ...part });
  };
  return (
    <Dialog title="Deploy a service" isOpen onClose={onClose} width={680}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          send.mutate();
        }}
      >
        <div className="grid gap-x-4 gap-y-3 p-4 sm:grid-cols-2">
          <p className="text-muted sm:col-span-2">A container with an address of its own at Railway, which bills it until it is stopped or deleted.</p>
          <Field label="Name" hint="2 to 24 lower case letters, digits and dashes.">
            {(control) => <input {...control} required pattern="[a-z][a-z0-9\-]{0,22}[a-z0-9]" title="2 to 24 lower case letters, digits and dashes, a letter first" className={`${INPUT} font-mono`} value={typed.name} autoComplete="off" onChange={(event) => change({ name: event.target.value })} />}
          </Field>
          <Field label="What" hint={<Prose text={template?.description ?? "Anything that listens for HTTP."} />}>
            {(control) => (
              <select {...control} className={INPUT} value={typed.template} onChange={(event) => change({ template: event.target.value, variables: {} })}>
                {templates.map(({ name, title }) => (
                  <option key={name} value={name}>
                    {title}
                  </option>
                ))}
                <option value="">An image of my own</option>
              </select>
            )}
          </Field>
          {template ? <Variables template={template} typed={typed} onChange={change} /> : <Image typed={typed} onChange={change} />}
          <Field label="Environment" hint="NAME=value, one a line." className="sm:col-span-2">
            {(control) => <textarea {...control} rows={2} spellCheck={false} className="rounded-md border border-line-strong bg-panel p-2.5 font-mono text-xs" value={typed.more} onChange={(event) => change({ more: event.target.value })} />}
          </Field>
          <Field label="Max cost in USD" hint="It is stopped before it has cost more than this.">
            {(control) => <input {...control} className={INPUT} inputMode="decimal" value={typed.maxCost} placeholder="no limit" autoComplete="off" onChange={(event) => change({ maxCost: event.target.value })} />}
          </Field>
        </div>
        {send.error && (send.error instanceof ApiError ? <ErrorState error={send.error} /> : <p role="alert" className="px-4 pb-3 text-bad">{send.error.message}</p>)}
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

interface PartProps {
  typed: Typed;
  onChange: (part: Partial<Typed>) => void;
}

/** What the template may be told; its defaults stand where nothing is typed. */
function Variables({ template, typed, onChange }: PartProps & { template: ServiceTemplate }) {
  return Object.entries(template.variables).map(([name, initial]) => (
    <Field key={name} label={name} hint="The default, where nothing is typed." className={initial.length > 20 ? "sm:col-span-2" : ""}>
      {(control) => <input {...control} className={`${INPUT} font-mono`} value={typed.variables[name] ?? ""} placeholder={initial} autoComplete="off" spellCheck={false} onChange={(event) => onChange({ variables: { ...typed.variables, [name]: event.target.value } })} />}
    </Field>
  ));
}

function Image({ typed, onChange }: PartProps) {
  const text = (key: "image" | "port" | "command" | "health", required = false) => (control: object) => (
    <input {...control} required={required} className={`${INPUT} font-mono`} value={typed[key]} autoComplete="off" spellCheck={false} onChange={(event) => onChange({ [key]: event.target.value })} />
  );
  return (
    <>
      <Field label="Image" hint="For example ghcr.io/someone/something:1.2">
        {text("image", true)}
      </Field>
      <Field label="Port" hint="Where it listens; it also gets it as PORT.">
        {text("port")}
      </Field>
      <Field label="Command" hint="Replaces what the image starts.">
        {text("command")}
      </Field>
      <Field label="Health path" hint="Answered with 200 before it counts as running.">
        {text("health")}
      </Field>
    </>
  );
}
