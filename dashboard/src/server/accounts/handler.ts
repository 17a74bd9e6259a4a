/**
 * `/api/auth/*`: Better Auth behind our own door. Only the operations that the pages use are there; each is counted per
 * address and per account, must come from our own pages, and answers errors in the product's one shape.
 */
import "server-only";
import { answering, problem, Refusal } from "../problem";
import { accounts, numPeople } from "./auth";
import { accountsConfig } from "./config";
import { Limiter } from "./limiter";
import { isAllowedHost, isSameOrigin } from "./origin";
import { forgetSessions } from "./session";
import { isSetupCode } from "./setup";

const OPERATIONS = new Set(["/sign-in/email", "/sign-up/email", "/sign-out", "/change-password", "/update-user"]);
const MAX_BODY_BYTES = 16_384;
const MINUTE_MS = 60_000;
/** Attempts with a password or a set-up code: a person mistypes less often than this. */
const byAddress = new Limiter(20, MINUTE_MS);
const byAccount = new Limiter(10, 5 * MINUTE_MS);
const GUESSABLE = new Set(["/sign-in/email", "/sign-up/email", "/change-password"]);

export async function handleAuth(request: Request): Promise<Response> {
  return answering(async () => {
    const url = new URL(request.url);
    const operation = url.pathname.slice("/api/auth".length).replace(/\/$/, "");
    if (!OPERATIONS.has(operation)) return problem(404, "not_found", "There is no such operation.", "The pages use all there are.");
    requireOwnPage(request);
    const body = await readBody(request);
    const asked = forAuth(request, url, body);
    if (operation === "/sign-up/email") return signUp(request, asked);
    return GUESSABLE.has(operation) ? counted(request, body, () => answer(asked)) : answer(asked);
  });
}

/** Throws for a strange Host, and for a change that another site's page asks for. */
export function requireOwnPage(request: Request): void {
  const { publicUrl } = accountsConfig();
  if (!isAllowedHost(request.headers.get("host"), publicUrl))
    throw new Refusal(403, "unknown_host", "The dashboard is not known by this name.", "Set SKYSCALE_DASHBOARD_URL to the address that people use.");
  if (request.method !== "GET" && request.method !== "HEAD" && !isSameOrigin(request.headers, publicUrl))
    throw new Refusal(403, "foreign_origin", "This call does not come from the dashboard's own pages.", "Use an API key for programs, and set SKYSCALE_DASHBOARD_URL behind a proxy.");
}

// One sign-up at a time: of two first ones, the second finds an account.
let last: Promise<unknown> = Promise.resolve();

async function signUp(request: Request, asked: Request): Promise<Response> {
  const turn = last.then(() => signUpInTurn(request, asked));
  last = turn.catch(() => undefined);
  return turn;
}

async function signUpInTurn(request: Request, asked: Request): Promise<Response> {
  if ((await numPeople()) > 0) {
    if (accountsConfig().isSignUpOpen) return counted(request, null, () => answer(asked));
    throw new Refusal(403, "sign_up_closed", "Sign-up is closed.", "An admin adds people on the settings page.");
  }
  return counted(request, null, async () => {
    if (!isSetupCode(request.headers.get("x-skyscale-setup-code") ?? ""))
      throw new Refusal(403, "wrong_setup_code", "This is not the set-up code.", "`skyscale up` prints it when it starts.");
    return answer(asked);
  });
}

async function counted(request: Request, body: string | null, attempt: () => Promise<Response>): Promise<Response> {
  const now = Date.now();
  const address = request.headers.get("x-skyscale-client-ip") ?? "unknown";
  const account = accountIn(body);
  const waitMs = Math.max(byAddress.waitMs(address, now), account === null ? 0 : byAccount.waitMs(`${address} ${account}`, now));
  if (waitMs > 0) {
    const seconds = Math.ceil(waitMs / 1000);
    return problem(429, "too_many_attempts", "Too many attempts.", `Try again in ${seconds} s.`, { "retry-after": String(seconds) });
  }
  byAddress.count(address, now);
  if (account !== null) byAccount.count(`${address} ${account}`, now);
  const reply = await attempt();
  if (reply.ok && account !== null) byAccount.clear(`${address} ${account}`);
  return reply;
}

function accountIn(body: string | null): string | null {
  try {
    const email: unknown = body === null ? null : (JSON.parse(body) as { email?: unknown }).email;
    return typeof email === "string" ? email.trim().toLowerCase().slice(0, 200) : null;
  } catch {
    return null;
  }
}

async function readBody(request: Request): Promise<string> {
  const body = await request.text();
  if (body.length > MAX_BODY_BYTES) throw new Refusal(413, "too_large", "The body is too large.", "Send less.");
  return body;
}

function forAuth(request: Request, url: URL, body: string): Request {
  const headers = new Headers();
  for (const name of ["cookie", "content-type", "origin", "host", "user-agent", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest"]) {
    const value = request.headers.get(name);
    if (value !== null) headers.set(name, value);
  }
  const address = request.headers.get("x-skyscale-client-ip");
  if (address !== null) headers.set("x-forwarded-for", address); // shown in the list of sessions
  return new Request(url, { method: request.method, headers, body });
}

async function answer(asked: Request): Promise<Response> {
  const reply = await accounts().handler(asked);
  forgetSessions();
  if (reply.ok) {
    // Its body names the session's token, which no script has to know: the cookie is enough.
    const bare = new Response("{}", { headers: { "content-type": "application/json", "cache-control": "no-store" } });
    for (const line of reply.headers.getSetCookie()) bare.headers.append("set-cookie", line);
    return bare;
  }
  const said = (await reply.json().catch(() => null)) as { code?: string; message?: string } | null;
  const code = (said?.code ?? "refused").toLowerCase();
  return problem(reply.status, code, said?.message ?? "This was refused.", HINTS[code] ?? "Check what you entered.");
}

const HINTS: Record<string, string> = {
  invalid_email_or_password: "Check both; an admin can set a new password on the settings page.",
  password_too_short: "Use at least 10 characters.",
  user_already_exists: "Sign in instead.",
  user_already_exists_use_another_email: "Sign in instead, or use another address.",
};
