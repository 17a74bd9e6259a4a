/**
 * `POST /api/measure/policy {run_id}`: how fast the policy server of a run answers, measured from here.
 *
 * Its address is what the run's events say, and only a server on this machine is called: nobody can have this process
 * call a place of their choice. Whoever may read the run may measure; the load is one prompt of a few answers.
 */
import { requireOwnPage } from "./accounts/handler";
import { answering, problem } from "./problem";
import { admit, read } from "./proxy";

const ADDRESS = /\bhttps?:\/\/(?:127\.0\.0\.1|localhost|\[::1\]):\d{1,5}\b/;
const DEADLINE_MS = 30_000;
const PROMPT = [{ role: "user", content: "Write a function f(x) that returns x plus 1." }];
const MAX_TOKENS = 64;
const NUM_ANSWERS = 16;
const ASK_EVERY_MS = 500;

export async function measurePolicy(request: Request): Promise<Response> {
  return answering(async () => {
    requireOwnPage(request);
    await admit(request, "GET", "/api/measure/policy");
    return measure(request);
  });
}

async function measure(request: Request): Promise<Response> {
  const { run_id } = (await request.json().catch(() => ({}))) as { run_id?: unknown };
  if (typeof run_id !== "string" || !/^[A-Za-z0-9_.-]{1,60}$/.test(run_id)) return problem(422, "invalid", "run_id: it must name a run", "Choose a live run.");
  const found = await addressOf(request, run_id);
  if (found instanceof Response) return found;
  if (found === null) return problem(409, "policy_elsewhere", "This run has no policy server on this machine.", "Choose a run of the local provider that is running.");
  try {
    await untilReady(found);
    const model = ((await json(await call(found, "/v1/models"))) as { data: { id: string }[] }).data[0]?.id ?? "";
    return Response.json({ first_token_ms: await firstToken(found, model), ...(await throughput(found, model)) }, { headers: { "cache-control": "no-store" } });
  } catch (error) {
    return problem(502, "policy_unreachable", "The policy server did not answer the measurement.", error instanceof Error ? error.message : "");
  }
}

/** The newest address that the run's policy server registered; a refusal of the control plane is passed on. */
async function addressOf(request: Request, runId: string): Promise<string | null | Response> {
  let [after, address] = [0, null as string | null];
  for (;;) {
    const reply = await read(request, `/api/rl/runs/${runId}/events?limit=1000&after=${after}`);
    if (!reply.ok) return reply;
    const { events } = (await reply.json()) as { events: { seq: number; kind: string; message: string }[] };
    for (const { kind, message } of events) if (kind === "policy.registered") address = ADDRESS.exec(message)?.[0] ?? null;
    if (events.length < 1000) return address;
    after = events.at(-1)?.seq ?? after;
  }
}

/** A server that was started a moment ago, or anew, is loading its model: that is no part of what is measured. */
async function untilReady(address: string): Promise<void> {
  for (const end = Date.now() + DEADLINE_MS; ; ) {
    const reply = await fetch(`${address}/health`, { redirect: "error", cache: "no-store", signal: AbortSignal.timeout(DEADLINE_MS) });
    if (reply.ok) return;
    if (Date.now() > end) throw new Error(`It is not ready: ${await detailOf(reply)}`);
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
  }
}

/** Milliseconds until the first bytes of an answer that is streamed. */
async function firstToken(address: string, model: string): Promise<number> {
  const start = performance.now();
  const reply = await call(address, "/v1/chat/completions", { model, messages: PROMPT, max_tokens: MAX_TOKENS, stream: true });
  const reader = reply.body?.getReader();
  await reader?.read();
  const ms = performance.now() - start;
  await reader?.cancel();
  return ms;
}

async function throughput(address: string, model: string): Promise<{ tokens_per_s: number; num_tokens: number }> {
  const start = performance.now();
  const body = (await json(await call(address, "/v1/chat/completions", { model, messages: PROMPT, max_tokens: MAX_TOKENS, n: NUM_ANSWERS }))) as { usage: { completion_tokens: number } };
  const tokens = body.usage.completion_tokens;
  return { tokens_per_s: tokens / ((performance.now() - start) / 1000), num_tokens: tokens };
}

async function call(address: string, path: string, body?: object): Promise<Response> {
  const init: RequestInit = body ? { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) } : {};
  const reply = await fetch(address + path, { ...init, redirect: "error", cache: "no-store", signal: AbortSignal.timeout(DEADLINE_MS) });
  if (!reply.ok) throw new Error(`${path} was answered ${reply.status}: ${await detailOf(reply)}`);
  return reply;
}

async function detailOf(reply: Response): Promise<string> {
  const said = (await reply.json().catch(() => null)) as { detail?: unknown } | null;
  return typeof said?.detail === "string" ? said.detail.slice(0, 300) : "nothing more";
}

async function json(reply: Response): Promise<unknown> {
  return reply.json();
}
