/**
 * The way from a browser to the control plane. `forward` answers a browser's call; `read` makes a read on behalf of the
 * same caller, for the live stream.
 *
 * - Nothing is sent on for a caller who is not signed in, and nothing that is not in the list of known routes.
 * - The role decides before the control plane is asked; it decides again by the role that is sent along.
 * - What changes something must come from our own pages, and asks the database whether the session still lives.
 * - Headers are copied by name, so hop-by-hop and forged ones stay behind.
 */
import "server-only";
import type { Person } from "./accounts/auth";
import { requireOwnPage } from "./accounts/handler";
import { includes, isReading, neededRole } from "./accounts/roles";
import { sessionCookie } from "./accounts/cookie";
import { callerOf } from "./accounts/session";
import { callAs, only } from "./controlPlane";
import { answering, Refusal } from "./problem";
import { isKnownRoute } from "./routes";

const SENT_ON = ["content-type", "accept", "last-event-id", "idempotency-key", "if-none-match"];
const READ_MS = 30_000;
/** Longer than the longest program that a sandbox runs. */
const CHANGE_MS = 660_000;
const MAX_BODY_BYTES = 64 * 1024 * 1024;

/** Pass a browser's call on, and the reply back, streaming both ways. */
export async function forward(request: Request): Promise<Response> {
  return answering(async () => {
    const { pathname, search } = new URL(request.url);
    requireOwnPage(request);
    if (!isKnownRoute(request.method, pathname)) throw new Refusal(404, "not_found", "There is no such path.", "The pages use all there are; programs call the control plane itself.");
    const person = await admit(request, request.method, pathname);
    if (Number(request.headers.get("content-length") ?? 0) > MAX_BODY_BYTES) throw new Refusal(413, "too_large", "The body is too large.", "Send less at once.");
    return callAs(person, pathname + search, {
      method: request.method,
      headers: only(request.headers, SENT_ON),
      body: isReading(request.method) ? null : request.body,
      signal: request.signal,
      deadlineMs: isReading(request.method) ? READ_MS : CHANGE_MS,
    });
  });
}

/** Read `path` (with its query) as the caller of `request`. */
export async function read(request: Request, path: string, signal: AbortSignal = request.signal): Promise<Response> {
  return answering(async () => {
    requireOwnPage(request);
    const person = await admit(request, "GET", path.split("?")[0] ?? path);
    return callAs(person, path, { method: "GET", headers: new Headers({ accept: "application/json" }), signal, deadlineMs: READ_MS });
  });
}

/** Who calls, if they may. Throws the refusal otherwise. */
export async function admit(request: Request, method: string, path: string): Promise<Person> {
  const person = await callerOf(request.headers, { isFresh: !isReading(method) });
  if (person === null) {
    if (sessionCookie(request.headers) !== null) throw new Refusal(401, "session_expired", "Your session has ended.", "Sign in again.");
    throw new Refusal(401, "sign_in_required", "You are not signed in.", "Sign in.");
  }
  const needed = neededRole(method, path);
  if (!includes(person.role, needed)) throw new Refusal(403, "role_too_low", `This needs the role ${needed}, and yours is ${person.role}.`, "Ask an admin for it.");
  return person;
}
