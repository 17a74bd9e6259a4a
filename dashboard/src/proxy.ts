/**
 * Around every page (not the API): security headers with a fresh nonce, and the way to sign-in for somebody without a
 * session cookie. Whether the cookie is worth anything is asked where data is read.
 */
import { NextResponse, type NextRequest } from "next/server";
import { sessionCookie } from "@/server/accounts/cookie";
import { pageHeaders } from "@/server/pageHeaders";

const OPEN = /^\/(sign-in|setup)\/?$/;

export function proxy(request: NextRequest): NextResponse {
  if (!OPEN.test(request.nextUrl.pathname) && sessionCookie(request.headers) === null) {
    const to = request.nextUrl.clone();
    const from = request.nextUrl.pathname + request.nextUrl.search;
    to.pathname = "/sign-in";
    to.search = from === "/" ? "" : `?next=${encodeURIComponent(from)}`;
    return NextResponse.redirect(to);
  }
  const nonce = btoa(crypto.randomUUID());
  const sent = pageHeaders(nonce, process.env.NODE_ENV === "development");
  const headers = new Headers(request.headers);
  headers.set("x-nonce", nonce);
  headers.set("content-security-policy", sent["content-security-policy"] ?? "");
  const reply = NextResponse.next({ request: { headers } });
  for (const [name, value] of Object.entries(sent)) reply.headers.set(name, value);
  return reply;
}

export const config = { matcher: ["/((?!api/|_next/|.*\\.(?:js|css|svg|png|ico|woff2?|txt)$).*)"] };
