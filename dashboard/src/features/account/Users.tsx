"use client";

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { changeUser, readUsers, removeUser, type Person, type Role, type User } from "@/client/account";
import { Ago } from "@/ui/Ago";
import { Button } from "@/ui/Button";
import { Confirm } from "@/ui/Confirm";
import { INPUT } from "@/ui/Field";
import { Loaded } from "@/ui/states";
import { FormError } from "./Entrance";
import { AddUser, NewPassword } from "./UserDialogs";
import { Section } from "./Section";

export const USERS = ["users"];

/** Who has an account, for admins. */
export function Users({ me }: { me: Person }) {
  const client = useQueryClient();
  const [isAdding, setAdding] = useState(false);
  const [removing, setRemoving] = useState<User | null>(null);
  const [resetting, setResetting] = useState<User | null>(null);
  const users = useQuery({ queryKey: USERS, queryFn: readUsers });
  const reload = () => client.invalidateQueries({ queryKey: USERS });
  const change = useMutation({ mutationFn: ({ id, role }: { id: string; role: Role }) => changeUser(id, { role }), onSettled: reload });
  const remove = useMutation({
    mutationFn: removeUser,
    onSuccess: () => {
      setRemoving(null);
      return reload();
    },
  });
  return (
    <Section
      title="Users"
      about="Viewers look, operators may spend, admins decide who may do what."
      action={
        <Button look="primary" data-new onClick={() => setAdding(true)}>
          Add a user
        </Button>
      }
    >
      <FormError error={change.error} />
      <div className="panel overflow-x-auto">
        <Loaded data={users.data} error={users.error} onRetry={() => void users.refetch()}>
          {(rows) => (
            <table className="table" aria-label="Users">
              <thead>
                <tr>
                  <th>Name</th>
                  <th>Role</th>
                  <th className="hidden sm:table-cell">Since</th>
                  <th aria-label="Actions" />
                </tr>
              </thead>
              <tbody>
                {rows.map((user) => (
                  <tr key={user.id}>
                    <td className="py-1.5!">
                      <div className="font-medium">
                        {user.name}
                        {user.id === me.id && <span className="font-normal text-muted"> (you)</span>}
                      </div>
                      <div className="max-w-24 truncate text-xs text-muted sm:max-w-none" title={user.email}>{user.email}</div>
                    </td>
                    <td>
                      <select aria-label={`Role of ${user.name}`} value={user.role} disabled={change.isPending} className={`${INPUT} w-24!`} onChange={(event) => change.mutate({ id: user.id, role: event.target.value as Role })}>
                        <option>viewer</option>
                        <option>operator</option>
                        <option>admin</option>
                      </select>
                    </td>
                    <td className="hidden sm:table-cell">
                      <Ago time={user.createdAt} />
                    </td>
                    <td className="text-right">
                      {user.id !== me.id && (
                        <span className="flex flex-col items-end sm:flex-row sm:justify-end">
                          <Button look="ghost" className="max-sm:px-0!" onClick={() => setResetting(user)}>
                            New password
                          </Button>
                          <Button look="ghost" className="max-sm:px-0!" aria-label={`Remove ${user.name}`} onClick={() => setRemoving(user)}>
                            Remove
                          </Button>
                        </span>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
        </Loaded>
      </div>
      <AddUser isOpen={isAdding} onClose={() => setAdding(false)} />
      <NewPassword user={resetting} onClose={() => setResetting(null)} />
      <Confirm title={`Remove ${removing?.name ?? ""}?`} action="Remove the account" isOpen={removing !== null} isBusy={remove.isPending} error={remove.error} onClose={() => setRemoving(null)} onConfirm={() => removing && remove.mutate(removing.id)}>
        They are signed out, and their API keys are revoked. What they have started goes on.
      </Confirm>
    </Section>
  );
}
