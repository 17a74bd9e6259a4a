"use client";

import { useEffect, useRef, useState } from "react";
import type { Schemas } from "@/client/api";
import { ApiError } from "@/client/errors";
import { Button } from "@/ui/Button";
import { duration } from "@/ui/format";
import { Icon } from "@/ui/Icon";
import { exec, type ExecReply } from "./exec";

type Runtime = Schemas["SandboxView"]["runtime"];

interface Entry {
  id: number;
  code: string;
  language: Runtime;
  output: { stream: "stdout" | "stderr"; text: string }[];
  result: ExecReply | null;
  error: string | null;
}

const EXAMPLE: Record<string, string> = { python3: "import sys\nprint(sys.version)", bash: "uname -a; id; ls -la" };
/** The page shows no more of one program's output than this; the sandbox has a limit of its own. */
const SHOWN_CHARS = 200_000;

/** Programs and what they printed, one under the other. Output is untrusted and shown as text only. */
export function Console({ sandboxId, runtime, isOpen }: { sandboxId: string; runtime: Runtime; isOpen: boolean }) {
  const [entries, setEntries] = useState<Entry[]>([]);
  const [running, setRunning] = useState<AbortController | null>(null);
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // Newer browsers return a promise here, which an effect must not.
    void end.current?.scrollIntoView({ block: "nearest" });
  }, [entries]);
  useEffect(() => () => running?.abort(), [running]);
  const run = async (code: string, language: Runtime) => {
    const id = entries.length;
    const change = (part: (entry: Entry) => Partial<Entry>) => setEntries((kept) => kept.map((entry) => (entry.id === id ? { ...entry, ...part(entry) } : entry)));
    const controller = new AbortController();
    setRunning(controller);
    setEntries((kept) => [...kept, { id, code, language, output: [], result: null, error: null }]);
    try {
      const result = await exec(sandboxId, { code, language, timeout_seconds: 60, stdin: "" }, (stream, text) => change((entry) => ({ output: [...entry.output, { stream, text }] })), controller.signal);
      change(() => ({ result }));
    } catch (error) {
      change(() => ({ error: controller.signal.aborted ? "Cancelled." : error instanceof ApiError ? `${error.message} ${error.hint}` : String(error) }));
    } finally {
      setRunning(null);
    }
  };
  return (
    <div className="flex flex-col">
      <div className="max-h-[46dvh] min-h-40 overflow-y-auto bg-sunken/50 p-3 font-mono text-xs" role="log" aria-label="Output" tabIndex={0}>
        {entries.length === 0 && <p className="p-4 text-center font-sans text-muted">{isOpen ? "Type a program below and press Ctrl Enter. Files stay between programs, variables do not." : "This sandbox is destroyed."}</p>}
        {entries.map((entry) => (
          <EntryView key={entry.id} entry={entry} />
        ))}
        <div ref={end} />
      </div>
      {isOpen && <Prompt runtime={runtime} isRunning={running !== null} onRun={(code, language) => void run(code, language)} onCancel={() => running?.abort()} />}
    </div>
  );
}

interface PromptProps {
  runtime: Runtime;
  isRunning: boolean;
  onRun: (code: string, language: Runtime) => void;
  onCancel: () => void;
}

function Prompt({ runtime, isRunning, onRun, onCancel }: PromptProps) {
  const [language, setLanguage] = useState<Runtime>(runtime);
  const [code, setCode] = useState("");
  const start = () => !isRunning && onRun(code.trim() ? code : (EXAMPLE[language] ?? ""), language);
  return (
    <form
      className="border-t"
      onSubmit={(event) => {
        event.preventDefault();
        start();
      }}
    >
      <textarea
        aria-label="Program"
        value={code}
        rows={5}
        spellCheck={false}
        placeholder={EXAMPLE[language]}
        onChange={(event) => setCode(event.target.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
          event.preventDefault();
          start();
        }}
        className="block w-full resize-y bg-panel p-3 font-mono text-xs focus-visible:outline-offset-[-2px]"
      />
      <div className="flex items-center gap-2 border-t px-3 py-2">
        <select aria-label="Language" value={language} onChange={(event) => setLanguage(event.target.value as Runtime)} className="h-8 rounded-md border border-line-strong bg-panel px-2">
          <option value="python3">Python</option>
          <option value="bash">Shell</option>
        </select>
        <span className="ml-auto hidden text-xs text-muted sm:inline">Ctrl Enter</span>
        {isRunning ? (
          <Button onClick={onCancel}>Cancel</Button>
        ) : (
          <Button look="primary" type="submit">
            <Icon name="play" size={13} /> Run
          </Button>
        )}
      </div>
    </form>
  );
}

function EntryView({ entry }: { entry: Entry }) {
  const { result, error, output } = entry;
  const numChars = output.reduce((sum, { text }) => sum + text.length, 0);
  return (
    <article className="border-b border-line py-2 last:border-b-0">
      <pre className="break-all whitespace-pre-wrap text-accent">{entry.code}</pre>
      <pre className="mt-1 break-all whitespace-pre-wrap">
        {cutTo(SHOWN_CHARS, output).map(({ stream, text }, i) => (
          <span key={i} className={stream === "stderr" ? "text-bad" : ""}>
            {text}
          </span>
        ))}
      </pre>
      {numChars > SHOWN_CHARS && <p className="text-warn">More was printed than is shown here.</p>}
      {error && <p className="text-bad">{error}</p>}
      {result && (
        <p className={`num mt-1 font-sans text-2xs ${result.exit_code === 0 && result.status === "ok" ? "text-muted" : "text-warn"}`} data-testid="exec-result">
          {result.status === "ok" ? `exit code ${result.exit_code}` : `${result.status.replaceAll("_", " ")}, exit code ${result.exit_code}`}, {duration(result.duration_ms / 1000)}
          {result.detail && `, ${result.detail}`}
        </p>
      )}
      {!result && !error && <p className="mt-1 font-sans text-2xs text-muted">running …</p>}
    </article>
  );
}

/** The first `limit` characters of all output. */
function cutTo(limit: number, output: Entry["output"]): Entry["output"] {
  const shown: Entry["output"] = [];
  let left = limit;
  for (const { stream, text } of output) {
    if (left <= 0) break;
    shown.push({ stream, text: text.slice(0, left) });
    left -= text.length;
  }
  return shown;
}
