"use client";

import { memo, useState } from "react";
import type { Schemas } from "@/client/api";
import { CopyButton } from "@/ui/CopyButton";
import { duration, number, words } from "@/ui/format";
import { heat, spansOf, tokenTitle, type Overlay, type Span } from "./heat";
import { TestChips } from "./TestChips";

type Completion = Schemas["RolloutCompletion"];

interface Props {
  completion: Completion;
  number: number;
  /** Mean reward of the group: what the advantage is measured from. */
  baseline: number | null;
  overlay: Overlay;
  versions: { first: number; last: number };
  search: string;
}

/** One answer: its reward, its tests, its text with the tokens coloured, what it printed. */
export const CompletionCard = memo(function CompletionCard({ completion, number: at, baseline, overlay, versions, search }: Props) {
  const { reward, passed_tests, total_tests, tests, text, outcome, stdout, stderr, reward_parts, turns } = completion;
  const advantage = baseline === null ? null : reward - baseline;
  return (
    <article className="panel flex min-w-0 flex-col" aria-label={`Completion ${at}`}>
      <header className="num flex items-baseline justify-between gap-2 border-b px-3 py-2">
        <span className="flex items-baseline gap-2">
          <span className="text-xs text-muted">#{at}</span>
          <span className="text-base font-semibold">{number(reward)}</span>
          {advantage !== null && <span className={`text-xs ${advantage > 0 ? "text-good" : advantage < 0 ? "text-bad" : "text-muted"}`}>{`${advantage >= 0 ? "+" : "−"}${number(Math.abs(advantage))}`}</span>}
        </span>
        <span className="text-xs text-muted">
          {passed_tests} of {total_tests} tests
          {outcome !== "scored" && <span className="text-warn"> · {words(outcome)}</span>}
        </span>
      </header>
      <div className="relative flex-1 px-3 py-2">
        <div className="absolute top-1 right-1">
          <CopyButton text={text} label="Copy the completion" />
        </div>
        <Text completion={completion} overlay={overlay} versions={versions} search={search} />
      </div>
      <footer className="flex flex-col gap-2 border-t px-3 py-2">
        {tests && <TestChips tests={tests} />}
        {stderr && <Output name="stderr" text={stderr} />}
        {stdout && <Output name="stdout" text={stdout} />}
        {turns.length > 0 && <Output name={`${turns.length} turns`} text={JSON.stringify(turns, null, 2)} />}
        <p className="num text-2xs text-faint">
          {[`${completion.num_tokens} tokens`, versionText(completion), completion.duration_ms !== null ? `judged in ${duration(completion.duration_ms / 1000)}` : null, ...parts(reward_parts)].filter(Boolean).join(" · ")}
        </p>
      </footer>
    </article>
  );
});

function Text({ completion, overlay, versions, search }: { completion: Completion; overlay: Overlay; versions: Props["versions"]; search: string }) {
  const { tokens, text } = completion;
  if (!tokens || (overlay === "none" && !search)) return <pre className="font-mono text-xs break-words whitespace-pre-wrap">{text || <span className="text-muted">(it wrote nothing)</span>}</pre>;
  return (
    <pre className="font-mono text-xs leading-[1.6] break-words whitespace-pre-wrap" data-testid="tokens">
      {spansOf(tokens).map((span) => (
        <Token key={span.index} span={span} background={heat(overlay, span.logprob, span.version, versions)} isFound={search !== "" && span.text.includes(search)} />
      ))}
    </pre>
  );
}

function Token({ span, background, isFound }: { span: Span; background: string | undefined; isFound: boolean }) {
  return (
    <span title={tokenTitle(span)} style={{ background }} className={`rounded-[2px] hover:outline hover:outline-accent ${isFound ? "underline decoration-accent decoration-2" : ""}`}>
      {span.text}
    </span>
  );
}

function Output({ name, text }: { name: string; text: string }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary className="text-xs text-muted select-none">{name}</summary>
      {isOpen && <pre tabIndex={0} className="mt-1 max-h-40 overflow-auto rounded bg-sunken p-2 font-mono text-2xs break-all whitespace-pre-wrap">{text}</pre>}
    </details>
  );
}

function versionText({ min_version: low, max_version: high }: Completion): string | null {
  if (low === null || high === null) return null;
  return low === high ? `version ${low}` : `versions ${low} to ${high}`;
}

function parts(rewards: Record<string, number>): string[] {
  const entries = Object.entries(rewards);
  return entries.length > 1 ? entries.map(([name, value]) => `${words(name)} ${number(value)}`) : [];
}
