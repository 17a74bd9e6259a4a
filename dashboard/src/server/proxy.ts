/**
 * The way from a browser to the control plane. `forward` answers a browser's call; `read` makes a read on behalf of the
 * same caller, for the live stream. Both throw nothing: a control plane that is down is a 502 in the usual error shape.
 */
import { controlPlaneUrl } from "./upstream";

const SENT_ON = ["content-type", "accept", "last-event-id", "idempotency-key", "if-none-match"];
const SENT_BACK = ["content-type", "cache-control", "etag", "retry-after", "x-request-id", "content-disposition"];

/** Pass a browser's call on, and the reply back, streaming both ways. */
export async function forward(request: Request): Promise<Response> {
  const { pathname, search } = new URL(request.url);
  const hasBody = request.method !== "GET" && request.method !== "HEAD";
  return call(pathname + search, {
    method: request.method,
    headers: copy(request.headers, SENT_ON),
    signal: request.signal,
    ...(hasBody ? { body: await request.arrayBuffer() } : {}),
  });
}

/** Read `path` (with its query) as the caller of `request`. */
export async function read(request: Request, path: string, signal: AbortSignal = request.signal): Promise<Response> {
  return call(path, { method: "GET", headers: { accept: "application/json" }, signal });
}

async function call(path: string, init: RequestInit): Promise<Response> {
  try {
    const reply = await fetch(controlPlaneUrl() + path, { ...init, redirect: "manual", cache: "no-store" });
    return new Response(reply.body, { status: reply.status, headers: copy(reply.headers, SENT_BACK) });
  } catch {
    return problem(502, "control_plane_unreachable", "The control plane does not answer.", "Start it with `skyscale serve`, or wait: the page goes on by itself.");
  }
}

function copy(from: Headers, names: string[]): Headers {
  const kept = new Headers();
  for (const name of names) {
    const value = from.get(name);
    if (value !== null) kept.set(name, value);
  }
  return kept;
}

function problem(status: number, code: string, detail: string, hint: string): Response {
  const body = JSON.stringify({ status, code, detail, hint, request_id: "" });
  return new Response(body, { status, headers: { "content-type": "application/problem+json", "cache-control": "no-store" } });
}
