"use client";

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { endSession, readSessions } from "@/client/account";
import { Ago } from "@/ui/Ago";
import { Button } from "@/ui/Button";
import { Loaded } from "@/ui/states";
import { FormError } from "./Entrance";
import { Section } from "./Section";
import { deviceOf } from "./device";

const SESSIONS = ["sessions"];

/** Where this person is signed in. */
export function Sessions() {
  const client = useQueryClient();
  const sessions = useQuery({ queryKey: SESSIONS, queryFn: readSessions });
  const reload = () => client.invalidateQueries({ queryKey: SESSIONS });
  const end = useMutation({ mutationFn: endSession, onSettled: reload });
  return (
    <Section
      title="Sessions"
      about="Where you are signed in. A session ends after seven days without use."
      action={
        (sessions.data?.length ?? 0) > 1 && (
          <Button isBusy={end.isPending} onClick={() => end.mutate("others")}>
            Sign out everywhere else
          </Button>
        )
      }
    >
      <FormError error={end.error} />
      <div className="panel">
        <Loaded data={sessions.data} error={sessions.error} onRetry={() => void sessions.refetch()}>
          {(rows) => (
            <ul aria-label="Sessions">
              {rows.map((session) => (
                <li key={session.id} className="flex items-center justify-between gap-3 border-b px-4 py-2.5 last:border-b-0">
                  <div className="min-w-0">
                    <p className="truncate font-medium">
                      {deviceOf(session.userAgent)}
                      {session.isThis && <span className="font-normal text-muted"> (this one)</span>}
                    </p>
                    <p className="text-xs text-muted">
                      {session.ipAddress || "unknown address"}, since <Ago time={session.createdAt} />
                    </p>
                  </div>
                  {!session.isThis && (
                    <Button look="ghost" onClick={() => end.mutate(session.id)}>
                      Sign out
                    </Button>
                  )}
                </li>
              ))}
            </ul>
          )}
        </Loaded>
      </div>
    </Section>
  );
}
