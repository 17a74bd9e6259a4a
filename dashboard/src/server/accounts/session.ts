/**
 * Who calls, by the session cookie. Reads may be answered from a memory of a few seconds, which a page with a live stream
 * asks many times; what changes something asks the database. A session that ends here is forgotten here at once.
 */
import "server-only";
import { accounts, personOf, type Person } from "./auth";
import { sessionCookie } from "./cookie";

const FRESH_MS = 3_000;
const MAX_REMEMBERED = 1_000;

const remembered = new Map<string, { person: Person; until: number }>();

/** The signed-in caller, or null. */
export async function callerOf(headers: Headers, { isFresh }: { isFresh: boolean }): Promise<Person | null> {
  const cookie = sessionCookie(headers);
  if (cookie === null) return null;
  const known = remembered.get(cookie);
  if (!isFresh && known && known.until > Date.now()) return known.person;
  const session = await accounts().api.getSession({ headers: new Headers({ cookie }) });
  remembered.delete(cookie);
  if (session === null) return null;
  const person = personOf(session.user);
  if (remembered.size >= MAX_REMEMBERED) remembered.clear();
  remembered.set(cookie, { person, until: Date.now() + FRESH_MS });
  return person;
}

/** Call after anything that ends sessions or changes roles. */
export function forgetSessions(): void {
  remembered.clear();
}
