/** Where a person is signed in. Sessions are named by their id: the token, which opens them, never leaves the server. */
import "server-only";
import { answering, Refusal } from "../problem";
import { accounts } from "./auth";
import { requireOwnPage } from "./handler";
import { forgetSessions } from "./session";

export async function listSessions(request: Request): Promise<Response> {
  return answering(async () => {
    requireOwnPage(request);
    const mine = await thisSession(request);
    const { internalAdapter } = await accounts().$context;
    const all = await internalAdapter.listSessions(mine.userId, { onlyActiveSessions: true });
    const shown = all.map(({ id, createdAt, updatedAt, expiresAt, ipAddress, userAgent }) => ({ id, createdAt, updatedAt, expiresAt, ipAddress, userAgent, isThis: id === mine.id }));
    return Response.json({ sessions: shown }, { headers: { "cache-control": "no-store" } });
  });
}

/** End one session of the caller's, or all but this one for the id `others`. */
export async function endSession(request: Request, id: string): Promise<Response> {
  return answering(async () => {
    requireOwnPage(request);
    const mine = await thisSession(request);
    const { internalAdapter } = await accounts().$context;
    const all = await internalAdapter.listSessions(mine.userId);
    const ended = all.filter((session) => (id === "others" ? session.id !== mine.id : session.id === id));
    if (ended.length === 0 && id !== "others") throw new Refusal(404, "session_not_found", "There is no such session.", "It has ended already; reload the list.");
    if (ended.length > 0) await internalAdapter.deleteSessions(ended.map((session) => session.token));
    forgetSessions();
    return new Response(null, { status: 204 });
  });
}

async function thisSession(request: Request) {
  const found = await accounts().api.getSession({ headers: new Headers({ cookie: request.headers.get("cookie") ?? "" }) });
  if (found === null) throw new Refusal(401, "sign_in_required", "You are not signed in.", "Sign in.");
  return found.session;
}
