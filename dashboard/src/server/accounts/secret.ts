/** The secret that signs session cookies: given by the environment, else made once and kept where only its owner reads. */
import "server-only";
import { randomBytes } from "node:crypto";
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

const MIN_CHARS = 32;
const MIN_DISTINCT = 10;

/** Throws for a secret that can be guessed. */
export function sessionSecret(given: string | undefined, path: string): string {
  const secret = given ?? keptSecret(path);
  if (isWeak(secret)) {
    const source = given === undefined ? path : "BETTER_AUTH_SECRET";
    throw new Error(`${source} can be guessed: use at least ${MIN_CHARS} random characters, such as the output of \`openssl rand -hex 32\`, or unset it and one is made`);
  }
  return secret;
}

export function isWeak(secret: string): boolean {
  return secret.length < MIN_CHARS || new Set(secret).size < MIN_DISTINCT;
}

function keptSecret(path: string): string {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.${process.pid}.${randomBytes(4).toString("hex")}`;
  writeFileSync(draft, randomBytes(32).toString("hex"), { mode: 0o600 });
  try {
    linkSync(draft, path); // fails if there is one, or another process was first: then that one counts
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    rmSync(draft);
  }
  return readFileSync(path, "utf8").trim();
}
