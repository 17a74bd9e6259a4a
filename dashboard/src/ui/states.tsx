"use client";

import type { ReactNode } from "react";
import { ApiError } from "@/client/errors";
import { Button } from "./Button";

/** There is nothing here yet, and what to do about it. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="flex flex-col items-center gap-3 px-6 py-14 text-center">
      <p className="text-base font-medium">{title}</p>
      {children && <div className="flex max-w-md flex-col items-center gap-3 text-muted">{children}</div>}
    </div>
  );
}

/** Something could not be read or done: what, and what to do. Never a stack. */
export function ErrorState({ error, onRetry }: { error: Error; onRetry?: () => void }) {
  const known = error instanceof ApiError ? error : null;
  return (
    <div role="alert" className="m-4 rounded-lg border border-bad/40 bg-bad-soft p-4 text-text">
      <p className="font-medium">{TITLES[known?.code ?? ""] ?? "This did not work"}</p>
      <p className="mt-0.5 break-words">{error.message}</p>
      {known?.hint && <p className="mt-0.5 text-muted">{known.hint}</p>}
      <div className="mt-3 flex items-center gap-3">
        {onRetry && <Button onClick={onRetry}>Try again</Button>}
        {known && <span className="font-mono text-2xs text-muted">{[known.status || "", known.code, known.requestId].filter(Boolean).join(" · ")}</span>}
      </div>
    </div>
  );
}

const TITLES: Record<string, string> = {
  control_plane_unreachable: "The control plane is down",
  offline: "No connection",
  run_not_found: "There is no such run",
  control_plane_slow: "The control plane is busy",
  unauthorized: "You are not signed in",
  sign_in_required: "You are not signed in",
  session_expired: "Your session has ended",
  role_too_low: "Your role does not allow this",
  dashboard_token_mismatch: "The dashboard and the control plane have different tokens",
  dashboard_token_missing: "The dashboard has no token for the control plane",
  dashboard_token_unset: "The control plane has no token",
  forbidden: "You may not do this",
};

/** Grey bars where rows will be. */
export function Loading({ rows = 5 }: { rows?: number }) {
  return (
    <div className="flex flex-col gap-3 p-4" role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, i) => (
        <div key={i} className="h-4 animate-[shimmer_1.4s_ease-in-out_infinite] rounded bg-sunken" style={{ width: `${92 - ((i * 17) % 40)}%` }} />
      ))}
    </div>
  );
}

interface LoadedProps<T> {
  data: T | null | undefined;
  error: Error | null;
  onRetry?: () => void;
  children: (data: T) => ReactNode;
}

/** The content once it is there; what was read stays on the page when a later read fails. */
export function Loaded<T>({ data, error, onRetry, children }: LoadedProps<T>) {
  if (data !== null && data !== undefined)
    return (
      <>
        {error && <Stale error={error} />}
        {children(data)}
      </>
    );
  return error ? <ErrorState error={error} {...(onRetry ? { onRetry } : {})} /> : <Loading />;
}

function Stale({ error }: { error: Error }) {
  return (
    <p role="alert" className="border-b bg-warn-soft px-4 py-1.5 text-warn">
      {error.message} What you see is what was last known.
    </p>
  );
}
