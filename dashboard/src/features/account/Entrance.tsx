"use client";

import type { ReactNode } from "react";

/** The frame of sign-in and set-up. */
export function Entrance({ title, subtitle, children }: { title: string; subtitle?: ReactNode; children: ReactNode }) {
  return (
    <div className="flex min-h-dvh items-center justify-center p-4">
      <div className="panel w-full max-w-[380px] p-6">
        <div className="mb-5 flex items-center gap-2 text-base font-semibold tracking-tight">
          <img src="/mark.svg" alt="" width={20} height={20} />
          Skyscale
        </div>
        <h1 className="text-[17px] leading-6 font-semibold tracking-tight">{title}</h1>
        {subtitle && <p className="mt-1 text-muted">{subtitle}</p>}
        <div className="mt-5">{children}</div>
      </div>
    </div>
  );
}

/** What went wrong, next to the form it belongs to. */
export function FormError({ error }: { error: (Error & { hint?: string }) | null }) {
  if (!error) return null;
  return (
    <div role="alert" className="rounded-md border border-bad/40 bg-bad-soft px-3 py-2">
      <p>{error.message}</p>
      {error.hint && <p className="text-muted">{error.hint}</p>}
    </div>
  );
}
