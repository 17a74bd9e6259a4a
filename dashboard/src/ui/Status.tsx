import clsx from "clsx";
import { words } from "./format";

type Tone = "good" | "warn" | "bad" | "accent" | "quiet";

const TONES: Record<Tone, { text: string; dot: string }> = {
  good: { text: "bg-good-soft text-good", dot: "bg-good" },
  warn: { text: "bg-warn-soft text-warn", dot: "bg-warn" },
  bad: { text: "bg-bad-soft text-bad", dot: "bg-bad" },
  accent: { text: "bg-accent-soft text-accent", dot: "bg-accent" },
  quiet: { text: "bg-sunken text-muted", dot: "bg-line-strong" },
};

/** The tone of every state of runs, jobs, sandboxes, functions, services and tests. */
const TONE_OF: Record<string, Tone> = {
  running: "good", ready: "good", passed: "good", succeeded: "good", ok: "good",
  starting: "accent", deploying: "accent", created: "accent", queued: "accent", busy: "accent", completed: "accent",
  stopping: "warn", lost: "warn", timeout: "warn", degraded: "warn", waiting: "warn",
  failed: "bad", crashed: "bad", memory: "bad", unreachable: "bad", error: "bad",
};

/** Marked by a halo and not by motion: a pulse has the browser draw the page sixty times a second. */
const MOVING = new Set(["running", "starting", "deploying", "stopping", "busy"]);

/** A state as a word with a colour; never by colour alone. */
export function Status({ status, label }: { status: string; label?: string }) {
  const tone = TONES[TONE_OF[status] ?? "quiet"];
  return (
    <span className={clsx("inline-flex h-5 items-center gap-1.5 rounded-full px-2 text-xs font-medium whitespace-nowrap", tone.text)}>
      <span className={clsx("size-1.5 rounded-full", tone.dot, MOVING.has(status) && "ring-3 ring-current/25")} />
      {label ?? words(status)}
    </span>
  );
}
