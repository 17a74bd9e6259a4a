"use client";

import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { api, bodyOf, type Schemas } from "@/client/api";
import { TestChips } from "@/features/rollouts/TestChips";
import { Button } from "@/ui/Button";
import { duration, number } from "@/ui/format";
import { ErrorState } from "@/ui/states";

/** Submit a program of one's own and get the verdict that a model would get. */
export function TryProblem({ problem, setRef }: { problem: Schemas["PublicProblem"]; setRef: string }) {
  const [code, setCode] = useState(() => skeleton(problem));
  const submit = useMutation({ mutationFn: () => judge(setRef, problem.id, code) });
  return (
    <form
      className="border-t"
      onSubmit={(event) => {
        event.preventDefault();
        submit.mutate();
      }}
    >
      <textarea
        aria-label="Your program"
        value={code}
        rows={7}
        spellCheck={false}
        onChange={(event) => setCode(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit.mutate();
        }}
        className="block w-full resize-y bg-panel p-4 font-mono text-xs focus-visible:outline-offset-[-2px]"
      />
      <div className="flex items-center justify-end gap-3 border-t px-4 py-2">
        <span className="mr-auto text-xs text-muted">Judged in a sandbox by the hidden tests</span>
        <span className="hidden text-xs text-muted sm:inline">Ctrl Enter</span>
        <Button look="primary" type="submit" isBusy={submit.isPending}>
          Judge it
        </Button>
      </div>
      {submit.error && <ErrorState error={submit.error} />}
      {submit.data && <VerdictView verdict={submit.data} />}
    </form>
  );
}

function VerdictView({ verdict }: { verdict: Schemas["Verdict"] }) {
  return (
    <div className="flex flex-col gap-2 border-t p-4" role="status" data-testid="verdict">
      <p className="num">
        <span className="text-[17px] font-semibold">{number(verdict.reward)}</span>
        <span className="text-muted">
          {" "}
          reward, {verdict.passed_tests} of {verdict.total_tests} tests passed in {duration(verdict.duration_ms / 1000)}
        </span>
      </p>
      <TestChips tests={verdict.tests} />
      {verdict.stdout && <Output name="stdout" text={verdict.stdout} />}
      {verdict.stderr && <Output name="stderr" text={verdict.stderr} />}
    </div>
  );
}

function Output({ name, text }: { name: string; text: string }) {
  return (
    <div>
      <h3 className="text-xs text-muted">{name}</h3>
      <pre tabIndex={0} className="max-h-48 overflow-auto rounded-md bg-sunken p-3 font-mono text-xs break-all whitespace-pre-wrap">{text}</pre>
    </div>
  );
}

/** One episode: begun, judged, and closed whatever happens. */
async function judge(setRef: string, problemId: string, code: string): Promise<Schemas["Verdict"]> {
  const { sandbox_id } = await bodyOf(api.POST("/api/rl/env/reset", { body: { problem_set: setRef, problem_id: problemId } }));
  try {
    return await bodyOf(api.POST("/api/rl/env/step", { body: { sandbox_id, code } }));
  } finally {
    await api.POST("/api/rl/env/close", { body: { sandbox_id } }).catch(() => undefined);
  }
}

/** The head of the function that the first example calls. */
function skeleton({ prompt, test_cases }: Schemas["PublicProblem"]): string {
  const signature = /\b([A-Za-z_]\w*\([\w\s,]*\))/.exec(prompt)?.[1];
  const name = /assert\s+([A-Za-z_]\w*)\(/.exec(test_cases[0] ?? "")?.[1];
  return signature && name && signature.startsWith(`${name}(`) ? `def ${signature}:\n    return ` : name ? `def ${name}(x):\n    return ` : "";
}
