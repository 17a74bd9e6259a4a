"use client";

import type { Schemas } from "@/client/api";
import { Status } from "@/ui/Status";
import { TryProblem } from "./TryProblem";

/** What a caller may see of a problem, and a place to try it once the version of its set is known. */
export function ProblemPanel({ problem, setRef }: { problem: Schemas["PublicProblem"]; setRef: string | null }) {
  return (
    <section className="panel min-w-0 self-start" aria-label={`Problem ${problem.id}`}>
      <header className="flex flex-wrap items-center gap-2 border-b px-4 py-2.5">
        <h2 className="font-mono font-medium">{problem.id}</h2>
        <Status status={problem.difficulty} />
        <Status status={problem.split} />
        <span className="text-xs text-muted">
          family {problem.family}, {problem.style}, {problem.total_tests} tests
        </span>
      </header>
      <div className="flex flex-col gap-3 p-4">
        <p className="text-base whitespace-pre-wrap">{problem.prompt}</p>
        <div>
          <h3 className="mb-1 text-xs text-muted">{problem.test_cases.length === 1 ? "Public example" : `${problem.test_cases.length} public examples`}</h3>
          <pre tabIndex={0} className="overflow-x-auto rounded-md bg-sunken p-3 font-mono text-xs">{problem.test_cases.join("\n") || "none"}</pre>
        </div>
      </div>
      {setRef !== null && <TryProblem problem={problem} setRef={setRef} />}
    </section>
  );
}
