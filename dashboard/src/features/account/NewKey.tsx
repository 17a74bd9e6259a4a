"use client";

import { useMutation, useQueryClient } from "@tanstack/react-query";
import type { FormEvent } from "react";
import type { Role } from "@/client/account";
import { api, bodyOf, type Schemas } from "@/client/api";
import { Button } from "@/ui/Button";
import { CopyButton } from "@/ui/CopyButton";
import { Dialog } from "@/ui/Dialog";
import { Field, INPUT } from "@/ui/Field";
import { KEYS } from "./ApiKeys";
import { FormError } from "./Entrance";

type Scope = Schemas["Scope"];

const SCOPES: { scope: Scope; role: Role; means: string }[] = [
  { scope: "read", role: "viewer", means: "look at everything" },
  { scope: "operate", role: "operator", means: "start and stop things, which may cost money" },
  { scope: "admin", role: "admin", means: "also make and revoke everybody's keys" },
];
const LADDER: Role[] = ["viewer", "operator", "admin"];

/** Makes a key and shows it, once. */
export function NewKey({ role, isOpen, onClose }: { role: Role; isOpen: boolean; onClose: () => void }) {
  const client = useQueryClient();
  const make = useMutation({
    mutationFn: (body: { name: string; scope: Scope; expires_in_days: number | null }) => bodyOf(api.POST("/api/keys", { body })),
    onSuccess: () => client.invalidateQueries({ queryKey: KEYS }),
  });
  const close = () => {
    make.reset(); // the secret is gone from the page
    onClose();
  };
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const days = String(form.get("days"));
    make.mutate({ name: String(form.get("name")).trim(), scope: form.get("scope") as Scope, expires_in_days: days === "" ? null : Number(days) });
  };
  return (
    <Dialog title={make.data ? "The new key" : "New API key"} isOpen={isOpen} onClose={close} width={460}>
      {make.data ? (
        <Made secret={make.data.secret} onClose={close} />
      ) : (
        <form className="flex flex-col gap-3 p-4" onSubmit={submit}>
          <Field label="Name" hint="What it is for, so that you can tell it from others later.">
            {(control) => <input {...control} name="name" required maxLength={80} autoFocus className={INPUT} />}
          </Field>
          <Field label="Scope">
            {(control) => (
              <select {...control} name="scope" className={INPUT}>
                {SCOPES.filter((each) => LADDER.indexOf(each.role) <= LADDER.indexOf(role)).map(({ scope, means }) => (
                  <option key={scope} value={scope}>
                    {scope}: {means}
                  </option>
                ))}
              </select>
            )}
          </Field>
          <Field label="Life">
            {(control) => (
              <select {...control} name="days" defaultValue="90" className={INPUT}>
                <option value="7">7 days</option>
                <option value="30">30 days</option>
                <option value="90">90 days</option>
                <option value="365">A year</option>
                <option value="">Until it is revoked</option>
              </select>
            )}
          </Field>
          <FormError error={make.error} />
          <Button look="primary" type="submit" className="self-end" isBusy={make.isPending}>
            Make the key
          </Button>
        </form>
      )}
    </Dialog>
  );
}

function Made({ secret, onClose }: { secret: string; onClose: () => void }) {
  return (
    <div className="flex flex-col gap-3 p-4">
      <p>Copy it now: it is not kept, and nobody can show it again.</p>
      <div className="flex items-center gap-2 rounded-md bg-sunken p-2">
        <code className="min-w-0 flex-1 font-mono text-xs break-all" data-testid="secret">
          {secret}
        </code>
        <CopyButton text={secret} label="Copy the key" />
      </div>
      <p className="text-muted">On the command line:</p>
      <pre className="overflow-x-auto rounded-md bg-sunken p-2 font-mono text-xs">export SKYSCALE_API_KEY={secret.slice(0, 10)}&hellip;{"\n"}skyscale whoami</pre>
      <Button look="primary" className="self-end" onClick={onClose}>
        I have copied it
      </Button>
    </div>
  );
}
