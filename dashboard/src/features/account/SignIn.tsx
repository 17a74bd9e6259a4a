"use client";

import { useMutation } from "@tanstack/react-query";
import Link from "next/link";
import { useEffect, useState, type FormEvent } from "react";
import { signIn } from "@/client/account";
import { Button } from "@/ui/Button";
import { Field, INPUT } from "@/ui/Field";
import { Entrance, FormError } from "./Entrance";
import { safeNext } from "./next";
import { useAccount } from "./useAccount";

export function SignIn() {
  const { data, error } = useAccount();
  const [query, setQuery] = useState(new URLSearchParams());
  const enter = useMutation({
    mutationFn: ({ email, password }: { email: string; password: string }) => signIn(email, password),
    onSuccess: () => window.location.assign(safeNext(query.get("next"))),
  });
  useEffect(() => setQuery(new URLSearchParams(window.location.search)), []);
  useEffect(() => {
    if (data?.isSetupNeeded) window.location.replace("/setup");
    else if (data === null || data?.person) window.location.replace(safeNext(new URLSearchParams(window.location.search).get("next")));
  }, [data]);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    enter.mutate({ email: String(form.get("email")), password: String(form.get("password")) });
  };
  return (
    <Entrance title="Sign in" subtitle={query.get("ended") ? "Your session has ended. Sign in to go on where you were." : undefined}>
      <form className="flex flex-col gap-3" onSubmit={submit}>
        <Field label="E-mail">{(control) => <input {...control} name="email" type="email" autoComplete="username" required autoFocus className={INPUT} />}</Field>
        <Field label="Password">{(control) => <input {...control} name="password" type="password" autoComplete="current-password" required className={INPUT} />}</Field>
        <FormError error={enter.error ?? error} />
        <Button look="primary" type="submit" isBusy={enter.isPending || enter.isSuccess}>
          Sign in
        </Button>
      </form>
      {data?.isSignUpOpen && (
        <p className="mt-4 text-muted">
          No account yet?{" "}
          <Link href="/setup" className="text-accent underline">
            Make one
          </Link>
        </p>
      )}
    </Entrance>
  );
}
