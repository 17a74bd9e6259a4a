"use client";

import { useMutation, useQueryClient } from "@tanstack/react-query";
import type { FormEvent } from "react";
import { addUser, changeUser, type Role, type User } from "@/client/account";
import { Button } from "@/ui/Button";
import { Dialog } from "@/ui/Dialog";
import { Field, INPUT } from "@/ui/Field";
import { FormError } from "./Entrance";
import { USERS } from "./Users";

/** A new account, with a first password that the admin hands over. */
export function AddUser({ isOpen, onClose }: { isOpen: boolean; onClose: () => void }) {
  const client = useQueryClient();
  const add = useMutation({
    mutationFn: addUser,
    onSuccess: () => {
      onClose();
      return client.invalidateQueries({ queryKey: USERS });
    },
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const text = (name: string) => String(form.get(name));
    add.mutate({ name: text("name").trim(), email: text("email").trim(), password: text("password"), role: text("role") as Role });
  };
  return (
    <Dialog title="Add a user" isOpen={isOpen} onClose={onClose} width={420}>
      <form className="flex flex-col gap-3 p-4" onSubmit={submit}>
        <Field label="Name">{(control) => <input {...control} name="name" required maxLength={100} autoFocus className={INPUT} />}</Field>
        <Field label="E-mail">{(control) => <input {...control} name="email" type="email" required className={INPUT} />}</Field>
        <Field label="Role">
          {(control) => (
            <select {...control} name="role" className={INPUT}>
              <option>viewer</option>
              <option>operator</option>
              <option>admin</option>
            </select>
          )}
        </Field>
        <PasswordField />
        <FormError error={add.error} />
        <Button look="primary" type="submit" className="self-end" isBusy={add.isPending}>
          Add the user
        </Button>
      </form>
    </Dialog>
  );
}

/** Replaces a forgotten password. */
export function NewPassword({ user, onClose }: { user: User | null; onClose: () => void }) {
  const save = useMutation({ mutationFn: ({ id, password }: { id: string; password: string }) => changeUser(id, { password }), onSuccess: onClose });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    if (user) save.mutate({ id: user.id, password: String(new FormData(event.currentTarget).get("password")) });
  };
  return (
    <Dialog title={`New password for ${user?.name ?? ""}`} isOpen={user !== null} onClose={onClose} width={420}>
      <form className="flex flex-col gap-3 p-4" onSubmit={submit}>
        <PasswordField />
        <FormError error={save.error} />
        <Button look="primary" type="submit" className="self-end" isBusy={save.isPending}>
          Set the password
        </Button>
      </form>
    </Dialog>
  );
}

function PasswordField() {
  return (
    <Field label="First password" hint="At least 10 characters. They change it on their settings page.">
      {(control) => <input {...control} name="password" type="text" autoComplete="off" required minLength={10} maxLength={128} className={`${INPUT} font-mono`} />}
    </Field>
  );
}
