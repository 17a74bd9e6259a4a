/** The secret that signs sessions. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { sessionSecret } from "@/server/accounts/secret";

const folder = mkdtempSync(join(tmpdir(), "skyscale-secret-"));
const path = join(folder, "secrets", "better-auth-secret");

afterAll(() => rmSync(folder, { recursive: true }));

test("is made once, kept, and read by its owner only", () => {
  const made = sessionSecret(undefined, path);
  expect(made).toMatch(/^[0-9a-f]{64}$/);
  expect(sessionSecret(undefined, path)).toBe(made);
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test.each(["", "short", "a".repeat(64), "abcabcabcabcabcabcabcabcabcabcabcabc"])("%j is refused, in words", (secret) => {
  expect(() => sessionSecret(secret, path)).toThrow(/BETTER_AUTH_SECRET can be guessed/);
});

test("one that was given counts, and a weak one that is kept is refused by its file", () => {
  const given = "0123456789abcdefghij0123456789abcdefghij";
  expect(sessionSecret(given, path)).toBe(given);
  const weak = join(folder, "weak");
  writeFileSync(weak, "password");
  expect(() => sessionSecret(undefined, weak)).toThrow(weak);
});
