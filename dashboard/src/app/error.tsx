"use client";

import { ErrorState } from "@/ui/states";

/** A defect of a page: said plainly, with a way to go on. */
export default function PageError({ error, reset }: { error: Error & { digest?: string }; reset: () => void }) {
  const shown = new Error(`This page has a defect and could not be drawn${error.digest ? ` (${error.digest})` : ""}.`);
  return <ErrorState error={shown} onRetry={reset} />;
}
