/**
 * `GET /api/account`: who is signed in, and which doors are open to somebody who is not. Tells nothing else. Every page
 * asks it, so this is also where a session that is in use gets its new expiry, in the database and in the cookie.
 */
import "server-only";
import { answering } from "../problem";
import { accounts, numPeople, personOf } from "./auth";
import { accountsConfig } from "./config";
import { sessionCookie } from "./cookie";
import { requireOwnPage } from "./handler";

export async function accountState(request: Request): Promise<Response> {
  return answering(async () => {
    requireOwnPage(request);
    const cookie = sessionCookie(request.headers);
    const found = cookie === null ? null : await accounts().api.getSession({ headers: new Headers({ cookie }), returnHeaders: true });
    const user = found?.response?.user;
    const state = {
      person: user ? personOf(user) : null,
      hadSession: !user && cookie !== null,
      isSetupNeeded: !user && (await numPeople()) === 0,
      isSignUpOpen: accountsConfig().isSignUpOpen,
    };
    const reply = Response.json(state, { headers: { "cache-control": "no-store" } });
    for (const line of found?.headers.getSetCookie() ?? []) reply.headers.append("set-cookie", line);
    return reply;
  });
}
