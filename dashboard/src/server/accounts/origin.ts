/**
 * Where a request may come from. Pure.
 *
 * - Host: this machine's own names, a literal address, or the public URL's host. Any other name is DNS rebinding.
 * - A call that changes something must say that it comes from this very site, in `Origin` or in `Sec-Fetch-Site`.
 */
import { isIP } from "node:net";

/** Whether the name that the browser believes to talk to may be ours. */
export function isAllowedHost(host: string | null, publicUrl: string | null): boolean {
  const name = hostname(host);
  if (name === null) return false;
  if (name === "localhost" || name.endsWith(".localhost") || isIP(name.replace(/^\[|\]$/g, "")) !== 0) return true;
  return publicUrl !== null && host?.toLowerCase() === new URL(publicUrl).host;
}

/** Whether a page of this site made the request. */
export function isSameOrigin(headers: Headers, publicUrl: string | null): boolean {
  const origin = headers.get("origin");
  if (origin === null) return headers.get("sec-fetch-site") === "same-origin";
  try {
    const from = new URL(origin).host;
    return from === headers.get("host")?.toLowerCase() || (publicUrl !== null && from === new URL(publicUrl).host);
  } catch {
    return false;
  }
}

function hostname(host: string | null): string | null {
  try {
    return host === null ? null : new URL(`http://${host}`).hostname;
  } catch {
    return null;
  }
}
