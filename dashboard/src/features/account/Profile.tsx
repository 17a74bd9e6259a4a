"use client";

import { useMutation, useQueryClient } from "@tanstack/react-query";
import type { FormEvent } from "react";
import { changeName, changePassword, type Person } from "@/client/account";
import { Button } from "@/ui/Button";
import { Field, INPUT } from "@/ui/Field";
import { FormError } from "./Entrance";
import { Section } from "./Section";
import { ThemeChooser } from "./ThemeChooser";
import { ACCOUNT } from "./useAccount";

const ROLE_MEANS = {
  viewer: "You may look at everything and change nothing.",
  operator: "You may start and stop things, which may cost money.",
  admin: "You may do everything, and decide who else may do what.",
};

export function Profile({ person }: { person: Person }) {
  return (
    <>
      <Section title={person.email} about={`Your role is ${person.role}. ${ROLE_MEANS[person.role]}`}>
        <NameForm person={person} />
      </Section>
      <Section title="Password" about="Changing it signs you out everywhere else.">
        <PasswordForm email={person.email} />
      </Section>
      <ThemeChooser />
    </>
  );
}

function NameForm({ person }: { person: Person }) {
  const client = useQueryClient();
  const save = useMutation({ mutationFn: changeName, onSuccess: () => client.invalidateQueries({ queryKey: ACCOUNT }) });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    save.mutate(String(new FormData(event.currentTarget).get("name")).trim());
  };
  return (
    <form className="flex max-w-sm flex-col gap-3" onSubmit={submit}>
      <Field label="Name">{(control) => <input {...control} name="name" defaultValue={person.name} required maxLength={100} autoComplete="name" className={INPUT} />}</Field>
      <FormError error={save.error} />
      <Button type="submit" className="self-start" isBusy={save.isPending}>
        Save the name
      </Button>
    </form>
  );
}

function PasswordForm({ email }: { email: string }) {
  const save = useMutation({ mutationFn: ({ old, wanted }: { old: string; wanted: string }) => changePassword(old, wanted) });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const data = new FormData(form);
    save.mutate({ old: String(data.get("old")), wanted: String(data.get("wanted")) }, { onSuccess: () => form.reset() });
  };
  return (
    <form className="flex max-w-sm flex-col gap-3" onSubmit={submit}>
      {/* For password managers: whose password this is. */}
      <input type="text" name="username" autoComplete="username" value={email} readOnly hidden />
      <Field label="Current password">{(control) => <input {...control} name="old" type="password" autoComplete="current-password" required className={INPUT} />}</Field>
      <Field label="New password" hint="At least 10 characters.">
        {(control) => <input {...control} name="wanted" type="password" autoComplete="new-password" required minLength={10} maxLength={128} className={INPUT} />}
      </Field>
      <FormError error={save.error} />
      {save.isSuccess && <p role="status">The password is changed.</p>}
      <Button type="submit" className="self-start" isBusy={save.isPending}>
        Change the password
      </Button>
    </form>
  );
}
