/**
 * One call to the control plane, as somebody. The token is added here and nowhere else, and only with a person: there is
 * no way to call as nobody. It never leaves this process but in this header.
 */
import "server-only";
import type { Person } from "./accounts/auth";
import { problem } from "./problem";
import { controlPlaneUrl } from "./upstream";

const SENT_BACK = ["content-type", "cache-control", "etag", "retry-after", "x-request-id", "content-disposition"];

export interface Call {
  method: string;
  headers: Headers;
  body?: ReadableStream<Uint8Array> | string | null;
  signal: AbortSignal;
  /** How long the first byte of the reply may take. A reply that streams goes on as long as it likes. */
  deadlineMs: number;
}

/** The reply, its body streaming. Throws nothing: a control plane that is down is a 502 in the usual shape. */
export async function callAs(person: Person, path: string, call: Call): Promise<Response> {
  const headers = new Headers(call.headers);
  headers.set("x-skyscale-user", encodeURIComponent(person.email));
  headers.set("x-skyscale-role", person.role);
  const token = process.env.SKYSCALE_DASHBOARD_TOKEN;
  if (token) headers.set("authorization", `Bearer ${token}`);
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), call.deadlineMs);
  try {
    const init: RequestInit & { duplex: "half" } = {
      method: call.method,
      headers,
      body: call.body ?? null,
      duplex: "half",
      redirect: "manual",
      cache: "no-store",
      signal: AbortSignal.any([call.signal, late.signal]),
    };
    const reply = await fetch(controlPlaneUrl() + path, init);
    if (reply.status === 401) return await tokenTrouble(reply);
    if (reply.status >= 300 && reply.status < 400) return problem(502, "unexpected_redirect", "The control plane answered with a redirect.", "Check SKYSCALE_API_URL.");
    return new Response(reply.body, { status: reply.status, headers: only(reply.headers, SENT_BACK) });
  } catch {
    if (late.signal.aborted) return problem(504, "control_plane_slow", "The control plane has not answered in time.", "Try again; its log says what it is busy with.");
    return problem(502, "control_plane_unreachable", "The control plane does not answer.", "Start it with `skyscale up`, or wait: the page goes on by itself.");
  } finally {
    clearTimeout(timer);
  }
}

export function only(from: Headers, names: string[]): Headers {
  const kept = new Headers();
  for (const name of names) {
    const value = from.get(name);
    if (value !== null) kept.set(name, value);
  }
  return kept;
}

/** The person is signed in, so a 401 is between the two servers; as a 401 it would look like an ended session. */
async function tokenTrouble(reply: Response): Promise<Response> {
  const said = (await reply.json().catch(() => null)) as { code?: string; detail?: string; hint?: string } | null;
  const code = said?.code ?? "";
  if (code.startsWith("dashboard_token_")) return problem(502, code, said?.detail ?? "", said?.hint ?? "");
  return problem(
    502,
    "dashboard_token_missing",
    "The control plane asks for SKYSCALE_DASHBOARD_TOKEN, and the dashboard has none.",
    "Set SKYSCALE_DASHBOARD_TOKEN to the same value for both, and restart them.",
  );
}
