/**
 * The first account: whoever holds the set-up code makes it, and becomes the admin. `skyscale up` gives the code and
 * prints it; a server started by hand makes one and writes it to its log. It is worth nothing once there is an account.
 */
import "server-only";
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

const GROUPS = 4;

let made: string | null = null;

export function setupCode(): string {
  return process.env.SKYSCALE_SETUP_CODE || (made ??= newCode());
}

/** Compared in constant time; case, blanks and dashes do not matter. */
export function isSetupCode(given: string, code: string = setupCode()): boolean {
  return timingSafeEqual(digest(given), digest(code));
}

function digest(code: string): Buffer {
  return createHash("sha256").update(code.toUpperCase().replace(/[\s-]/g, "")).digest();
}

function newCode(): string {
  const text = randomBytes(GROUPS * 2).toString("hex").toUpperCase();
  return Array.from({ length: GROUPS }, (_, i) => text.slice(i * 4, i * 4 + 4)).join("-");
}
