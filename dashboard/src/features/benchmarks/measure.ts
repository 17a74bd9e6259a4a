/** Measurements against the real service, made now; each returns its samples in milliseconds, or a rate. */
import { api, bodyOf, readJson, type Schemas } from "@/client/api";
import { errorOf } from "@/client/errors";

export interface Sample {
  name: string;
  /** Milliseconds, one per try. */
  ms: number[];
}

export interface Result {
  kind: Kind;
  at: number;
  samples: Sample[];
  /** What was counted per second, if something was. */
  rate: { value: number; unit: string } | null;
}

export type Kind = "api" | "sandbox" | "judge" | "policy";
export type Progress = (text: string) => void;

const TRIES = 5;
const PROGRAM = "print(sum(range(1000)))";

export const KINDS: Record<Kind, { title: string; about: string; run: (progress: Progress, runId: string) => Promise<Omit<Result, "at" | "kind">> }> = {
  api: { title: "API", about: "Round trips from this browser to the control plane", run: measureApi },
  sandbox: { title: "Sandbox", about: "From nothing to the first output, again in the same sandbox, and how many programs run per second", run: measureSandbox },
  judge: { title: "Verdict", about: "A program judged by the hidden tests of a problem: begin, judge, end", run: measureJudge },
  policy: { title: "Policy server", about: "First token of an answer, and tokens per second of 16 answers at once, beside the load of the run", run: measurePolicy },
};

async function measureApi(progress: Progress) {
  progress("20 round trips");
  const ms: number[] = [];
  for (let i = 0; i < 20; i++) ms.push(await timed(() => bodyOf(api.GET("/api/rl/runs", { params: { query: { limit: 1 } } }))));
  return { samples: [{ name: "List one run", ms }], rate: null };
}

async function measureSandbox(progress: Progress) {
  const samples: Record<"Make" | "First program" | "Next program", number[]> = { Make: [], "First program": [], "Next program": [] };
  let rate = 0;
  for (let i = 0; i < TRIES; i++) {
    progress(`cold start ${i + 1} of ${TRIES}`);
    let id = "";
    samples.Make.push(await timed(async () => (id = (await bodyOf(api.POST("/api/sandboxes", { body: { ttl_seconds: 120, metadata: { purpose: "load speed" } } }))).id)));
    try {
      samples["First program"].push(await timed(() => exec(id)));
      samples["Next program"].push(await timed(() => exec(id)));
      if (i === TRIES - 1) rate = await programsPerSecond(id, progress);
    } finally {
      await api.DELETE("/api/sandboxes/{sandbox_id}", { params: { path: { sandbox_id: id } } }).catch(() => undefined);
    }
  }
  return { samples: Object.entries(samples).map(([name, ms]) => ({ name, ms })), rate: { value: rate, unit: "programs/s" } };
}

/** One after the other, as one user's agent would: a sandbox runs one program at a time. */
async function programsPerSecond(id: string, progress: Progress): Promise<number> {
  progress("throughput");
  const count = 12;
  const ms = await timed(async () => {
    for (let i = 0; i < count; i++) await exec(id);
  });
  return count / (ms / 1000);
}

async function measureJudge(progress: Progress) {
  const samples: Record<"Begin" | "Judge" | "End", number[]> = { Begin: [], Judge: [], End: [] };
  for (let i = 0; i < TRIES; i++) {
    progress(`verdict ${i + 1} of ${TRIES}`);
    let id = "";
    samples.Begin.push(await timed(async () => (id = (await bodyOf(api.POST("/api/rl/env/reset", { body: {} }))).sandbox_id)));
    // Another program each time: verdicts of known programs are remembered.
    samples.Judge.push(await timed(() => bodyOf(api.POST("/api/rl/env/step", { body: { sandbox_id: id, code: `def f(*args):\n    return ${Date.now() + i}` } }))));
    samples.End.push(await timed(() => bodyOf(api.POST("/api/rl/env/close", { body: { sandbox_id: id } }))));
  }
  return { samples: Object.entries(samples).map(([name, ms]) => ({ name, ms })), rate: null };
}

async function measurePolicy(progress: Progress, runId: string) {
  const first: number[] = [];
  let best = 0;
  for (let i = 0; i < 3; i++) {
    progress(`answer ${i + 1} of 3`);
    const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ run_id: runId }) };
    const result = await readJson<{ first_token_ms: number; tokens_per_s: number }>("/api/measure/policy", init);
    first.push(result.first_token_ms);
    best = Math.max(best, result.tokens_per_s);
  }
  return { samples: [{ name: "First token", ms: first }], rate: { value: best, unit: "tokens/s" } };
}

async function exec(id: string): Promise<Schemas["ExecReply"]> {
  const reply = await bodyOf(api.POST("/api/sandboxes/{sandbox_id}/exec", { params: { path: { sandbox_id: id } }, body: { code: PROGRAM } }));
  if (reply.exit_code !== 0) throw errorOf(500, { status: 500, code: "program_failed", detail: `The test program ended with exit code ${reply.exit_code}.`, hint: reply.stderr || "Look at the sandbox's backend.", request_id: "" });
  return reply;
}

async function timed(action: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await action();
  return performance.now() - start;
}

/** The middle of the samples; null when there are none. */
export function median(values: readonly number[]): number | null {
  const ordered = [...values].sort((a, b) => a - b);
  const middle = ordered.length >> 1;
  if (ordered.length === 0) return null;
  return ordered.length % 2 === 1 ? (ordered[middle] as number) : ((ordered[middle - 1] as number) + (ordered[middle] as number)) / 2;
}
