"use client";

import { ago } from "./format";
import { useNow } from "./useNow";

/** How long ago; the exact time on hover. */
export function Ago({ time }: { time: string }) {
  const now = useNow();
  return (
    <time dateTime={time} title={new Date(time).toISOString()} className="num whitespace-nowrap" suppressHydrationWarning>
      {now === 0 ? "" : ago(time, now)}
    </time>
  );
}
