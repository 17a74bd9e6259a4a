"use client";

import { useLinkState } from "@/live/LiveProvider";
import type { LinkState } from "@/live/connection";

const SHOWN: Record<LinkState, { text: string; dot: string; title: string }> = {
  idle: { text: "No live data here", dot: "bg-line-strong", title: "This page shows nothing that changes by itself" },
  connecting: { text: "Connecting", dot: "bg-warn", title: "Opening the live stream" },
  live: { text: "Live", dot: "bg-good", title: "Changes arrive as they happen" },
  retrying: { text: "Reconnecting", dot: "bg-bad", title: "No connection: what you see may be old. The page goes on by itself." },
  down: { text: "Control plane down", dot: "bg-bad", title: "The dashboard answers, the control plane behind it does not. The page goes on by itself." },
  polling: { text: "Polling", dot: "bg-warn", title: "No live stream here: the page asks every two seconds" },
};

/** How fresh the page is. */
export function LiveBadge() {
  const { text, dot, title } = SHOWN[useLinkState()];
  return (
    <div className="flex h-7 items-center gap-2.5 px-2.5 text-xs text-muted" role="status" title={title} data-testid="live">
      <span className={`size-2 rounded-full ${dot}`} />
      {text}
    </div>
  );
}
