"use client";

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, bodyOf, type Schemas } from "@/client/api";
import type { Person } from "@/client/account";
import { Ago } from "@/ui/Ago";
import { Button } from "@/ui/Button";
import { Confirm } from "@/ui/Confirm";
import { Empty, Loaded } from "@/ui/states";
import { Status } from "@/ui/Status";
import { useNow } from "@/ui/useNow";
import { NewKey } from "./NewKey";
import { Section } from "./Section";

type Key = Schemas["ApiKeyView"];
export const KEYS = ["api-keys"];

export function ApiKeys({ person }: { person: Person }) {
  const [isMaking, setMaking] = useState(false);
  const [ending, setEnding] = useState<Key | null>(null);
  const client = useQueryClient();
  const keys = useQuery({ queryKey: KEYS, queryFn: () => bodyOf(api.GET("/api/keys", { params: { query: { limit: 200 } } })) });
  const revoke = useMutation({
    mutationFn: (keyId: string) => bodyOf(api.DELETE("/api/keys/{key_id}", { params: { path: { key_id: keyId } } })),
    onSuccess: () => {
      setEnding(null);
      return client.invalidateQueries({ queryKey: KEYS });
    },
  });
  return (
    <Section
      title="API keys"
      about={
        <>
          For programs and the command line, which speak for you with one: <code>SKYSCALE_API_KEY</code>, or <code>skyscale login</code>.
        </>
      }
      action={
        <Button look="primary" data-new onClick={() => setMaking(true)}>
          New key
        </Button>
      }
    >
      <div className="panel overflow-x-auto">
        <Loaded data={keys.data} error={keys.error} onRetry={() => void keys.refetch()}>
          {({ keys: rows }) => (rows.length === 0 ? <Empty title="No keys yet">A key is shown once, when it is made.</Empty> : <Table rows={rows} isAdmin={person.role === "admin"} onRevoke={setEnding} />)}
        </Loaded>
      </div>
      <NewKey role={person.role} isOpen={isMaking} onClose={() => setMaking(false)} />
      <Confirm title={`Revoke ${ending?.name ?? ""}?`} action="Revoke the key" isOpen={ending !== null} isBusy={revoke.isPending} error={revoke.error} onClose={() => setEnding(null)} onConfirm={() => ending && revoke.mutate(ending.key_id)}>
        Programs that use it are refused from now on. This cannot be undone; what they have started goes on.
      </Confirm>
    </Section>
  );
}

function Table({ rows, isAdmin, onRevoke }: { rows: Key[]; isAdmin: boolean; onRevoke: (key: Key) => void }) {
  return (
    <table className="table" aria-label="API keys">
      <thead>
        <tr>
          <th>Name</th>
          <th className="hidden sm:table-cell">Scope</th>
          {isAdmin && <th className="hidden sm:table-cell">Owner</th>}
          <th>State</th>
          <th className="hidden sm:table-cell">Last used</th>
          <th aria-label="Actions" />
        </tr>
      </thead>
      <tbody>
        {rows.map((key) => (
          <tr key={key.key_id}>
            <td className="py-1.5!">
              <div className="max-w-28 truncate font-medium sm:max-w-none">{key.name}</div>
              <div className="font-mono text-2xs text-muted">{key.start}&hellip;</div>
              <div className="text-xs text-muted sm:hidden">{key.scope}</div>
            </td>
            <td className="hidden sm:table-cell">{key.scope}</td>
            {isAdmin && <td className="hidden max-w-[180px] truncate sm:table-cell">{key.owner}</td>}
            <td>
              <State of={key} />
            </td>
            <td className="hidden sm:table-cell">{key.last_used_at ? <Ago time={key.last_used_at} /> : "never"}</td>
            <td className="text-right">
              {!key.revoked_at && (
                <Button look="ghost" aria-label={`Revoke ${key.name}`} onClick={() => onRevoke(key)}>
                  Revoke
                </Button>
              )}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function State({ of: key }: { of: Key }) {
  const now = useNow();
  if (key.revoked_at) return <Status status="revoked" />;
  if (!key.expires_at) return <Status status="ready" label="does not expire" />;
  const day = new Date(key.expires_at).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
  return Date.parse(key.expires_at) < now ? <Status status="expired" label={`expired ${day}`} /> : <Status status="ready" label={`until ${day}`} />;
}
