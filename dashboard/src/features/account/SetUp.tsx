"use client";

import { useMutation } from "@tanstack/react-query";
import Link from "next/link";
import { useEffect, useState, type FormEvent } from "react";
import { signUp } from "@/client/account";
import { Button } from "@/ui/Button";
import { Field, INPUT } from "@/ui/Field";
import { Prose } from "@/ui/Prose";
import { Entrance, FormError } from "./Entrance";
import { useAccount } from "./useAccount";

const MIN_PASSWORD_CHARS = 10;

/** The first account, for whoever holds the set-up code; later, a new one where sign-up is open. */
export function SetUp() {
  const { data, error } = useAccount();
  const [codeInUrl, setCodeInUrl] = useState("");
  const create = useMutation({
    mutationFn: (form: FormData) => signUp(text(form, "name"), text(form, "email"), String(form.get("password") ?? ""), text(form, "code")),
    onSuccess: () => window.location.assign("/"),
  });
  useEffect(() => {
    // In the fragment, which no server sees; gone from the address bar at once.
    const code = new URLSearchParams(window.location.hash.slice(1)).get("code");
    if (!code) return;
    setCodeInUrl(code);
    window.history.replaceState(null, "", window.location.pathname);
  }, []);
  const isFirst = data?.isSetupNeeded ?? false;
  useEffect(() => {
    if (data?.person || data === null) window.location.replace("/");
    else if (data && !data.isSetupNeeded && !data.isSignUpOpen) window.location.replace("/sign-in");
  }, [data]);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    create.mutate(new FormData(event.currentTarget));
  };
  return (
    <Entrance
      title={isFirst ? "Welcome to Skyscale" : "Make an account"}
      subtitle={isFirst ? <Prose text="The first account is the admin. It needs the set-up code that `skyscale up` has printed." /> : undefined}
    >
      <form className="flex flex-col gap-3" onSubmit={submit}>
        {isFirst && (
          <Field label="Set-up code">
            {(control) => <input {...control} key={codeInUrl} name="code" defaultValue={codeInUrl} autoComplete="off" required className={`${INPUT} font-mono`} placeholder="XXXX-XXXX-XXXX-XXXX" />}
          </Field>
        )}
        <Field label="Name">{(control) => <input {...control} name="name" autoComplete="name" required maxLength={100} className={INPUT} />}</Field>
        <Field label="E-mail">{(control) => <input {...control} name="email" type="email" autoComplete="username" required className={INPUT} />}</Field>
        <Field label="Password" hint={`At least ${MIN_PASSWORD_CHARS} characters.`}>
          {(control) => <input {...control} name="password" type="password" autoComplete="new-password" required minLength={MIN_PASSWORD_CHARS} maxLength={128} className={INPUT} />}
        </Field>
        <FormError error={create.error ?? error} />
        <Button look="primary" type="submit" isBusy={create.isPending || create.isSuccess}>
          {isFirst ? "Create the admin account" : "Create the account"}
        </Button>
      </form>
      {!isFirst && (
        <p className="mt-4 text-muted">
          <Link href="/sign-in" className="text-accent underline">
            Sign in instead
          </Link>
        </p>
      )}
    </Entrance>
  );
}

function text(form: FormData, name: string): string {
  return String(form.get(name) ?? "").trim();
}
