/** The session cookie in a request's headers, as `name=value`, or null. Pure. */
const COOKIE = /(?:^|;\s*)((?:__Secure-)?skyscale\.session_token=[^;]+)/;

export function sessionCookie(headers: Headers): string | null {
  return COOKIE.exec(headers.get("cookie") ?? "")?.[1] ?? null;
}
