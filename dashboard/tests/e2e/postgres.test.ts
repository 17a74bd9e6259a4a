/** Accounts and the control plane on one PostgreSQL, by `DATABASE_URL`: from the set-up code to a key that is used. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, type TestContext } from "vitest";
import { startCompanion, type Companion } from "./companion";
import { call, PASSWORD, signedIn, startStack, type Stack } from "./stack";

const ADA = "ada@example.org";
let postgres: Companion;
let stack: Stack | undefined;
let key = "";

beforeAll(async () => {
  postgres = await startCompanion("postgres.py");
  if (postgres.said !== "missing") stack = await startStack({ DATABASE_URL: postgres.said });
});

afterAll(async () => {
  await stack?.stop();
  await postgres.stop();
});

test("the first account needs the set-up code, and is kept in PostgreSQL", async (context) => {
  const on = running(context);
  const signUp = (code: string) => call(on, "POST", "/api/auth/sign-up/email", { body: { name: "Ada", email: ADA, password: PASSWORD }, headers: { "x-skyscale-setup-code": code } });
  const wrong = await signUp("WRON-GCOD-EWRO-NGXX");
  expect(wrong.status, await wrong.text()).toBe(403);
  const right = await signUp(on.code);
  expect(right.status, await right.text()).toBe(200);
  expect([403, 422]).toContain((await signUp(on.code)).status);
  expect(existsSync(join(on.folder, "accounts.db"))).toBe(false);
});

test("who signs in makes a key, and a program uses it", async (context) => {
  const on = running(context);
  const wrong = await call(on, "POST", "/api/auth/sign-in/email", { body: { email: ADA, password: "not the password" } });
  expect(wrong.status).toBe(401);
  const cookie = await signedIn(on, ADA);
  expect(((await (await call(on, "GET", "/api/account", { cookie })).json()) as { person: object }).person).toMatchObject({ email: ADA, role: "admin" });
  const made = await call(on, "POST", "/api/keys", { cookie, body: { name: "nightly", scope: "operate" } });
  expect(made.status, await made.clone().text()).toBe(201);
  key = ((await made.json()) as { secret: string }).secret;
  expect(await used(on)).toBe(200);
  expect((await call(on, "POST", "/api/rl/runs", { body: { dry_run: true } })).status).toBe(401);
});

test("both are there after a restart, and a session that was ended is not", async (context) => {
  const cookie = await signedIn(running(context), ADA);
  await running(context).stop(true);
  stack = await startStack({ DATABASE_URL: postgres.said }, running(context).folder);
  expect((await call(stack, "GET", "/api/rl/runs", { cookie })).status).toBe(200);
  expect(await used(stack)).toBe(200);
  expect((await call(stack, "POST", "/api/auth/sign-out", { cookie })).status).toBe(200);
  const ended = await call(stack, "POST", "/api/rl/runs", { cookie, body: { dry_run: true } });
  expect([ended.status, ((await ended.json()) as { code: string }).code]).toEqual([401, "session_expired"]);
});

async function used({ api }: Stack): Promise<number> {
  return (await fetch(`${api}/api/rl/runs`, { method: "POST", body: '{"dry_run":true}', headers: { authorization: `Bearer ${key}`, "content-type": "application/json" } })).status;
}

function running(context: TestContext): Stack {
  if (!stack) context.skip("no PostgreSQL on this machine (initdb and postgres)");
  return stack as Stack;
}
