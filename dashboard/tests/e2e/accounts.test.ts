/** Accounts from the first one on, and what nobody gets without one, on the real stack with a real browser. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ROUTES } from "@/server/routeTable";
import { expectGoodLooks } from "./looks";
import { call, ended, freePort, openBrowser, outputUntil, PASSWORD, signedIn, startStack, type Stack } from "./stack";

const ADA = "ada@example.org";
const VIC = "vic@example.org";
let stack: Stack;
let browser: Browser;
let context: BrowserContext;
let page: Page;
const problems: string[] = [];
const seen: string[] = [];

beforeAll(async () => {
  [stack, browser] = await Promise.all([startStack(), openBrowser()]);
  context = await browser.newContext({ baseURL: stack.url });
  page = await context.newPage();
  page.on("console", (message) => /Content Security Policy|Hydration/i.test(message.text()) && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(`${page.url()}: ${error.message}`));
  page.on("response", (reply) => void reply.text().then((text) => seen.push(text), () => undefined));
});

afterAll(async () => {
  await browser?.close();
  await stack?.stop();
});

describe("before there is an account", () => {
  test("everything leads to set-up, which refuses a wrong code and says so", async () => {
    await page.goto("/settings");
    await page.waitForURL("**/setup");
    await expectGoodLooks(page, "setup", "/setup", "form");
    await fillSetUp("WRON-GCOD-EWRO-NGXX");
    await page.getByRole("alert").getByText("This is not the set-up code.").waitFor();
    expect((await state()).isSetupNeeded).toBe(true);
  });

  test("the link that `skyscale up` prints brings the code along, and the first account is the admin", async () => {
    await page.goto("about:blank");
    await page.goto(`/setup#code=${stack.code}`);
    await expectValue("Set-up code", stack.code);
    expect(new URL(page.url()).hash).toBe("");
    await fillSetUp(null);
    await page.waitForURL((url) => url.pathname === "/");
    await page.getByTestId("account-menu").getByText("Ada").first().waitFor();
    expect((await state()).person).toMatchObject({ email: ADA, role: "admin" });
  });

  test("the code is worth nothing afterwards", async () => {
    const again = await call(stack, "POST", "/api/auth/sign-up/email", { body: { name: "Eve", email: "eve@example.org", password: PASSWORD }, headers: { "x-skyscale-setup-code": stack.code } });
    expect([again.status, (await again.json()).code]).toEqual([403, "sign_up_closed"]);
  });
});

describe("signing in and out", () => {
  test("signing out leads to sign-in, and a page asked for meanwhile comes back after it", async () => {
    await page.getByTestId("account-menu").locator("summary").click();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.waitForURL("**/sign-in");
    await expectGoodLooks(page, "sign-in", "/sign-in", "form");
    await page.goto("/settings?tab=keys");
    await page.waitForURL("**/sign-in?next=*");
    await fillSignIn("not the password");
    await page.getByRole("alert").getByText("Invalid email or password").waitFor();
    await fillSignIn(PASSWORD);
    await page.waitForURL("**/settings?tab=keys");
    await page.getByRole("heading", { name: "API keys" }).waitFor();
  });

  test("a guesser is slowed down, whatever address they claim", async () => {
    const statuses: number[] = [];
    for (let i = 0; i < 12; i++) {
      const reply = await call(stack, "POST", "/api/auth/sign-in/email", { body: { email: "guessed@example.org", password: `guess ${i}` }, headers: { "x-forwarded-for": `192.0.2.${i}`, "x-skyscale-client-ip": `192.0.2.${i}` } });
      statuses.push(reply.status);
    }
    expect(statuses.slice(0, 10)).toEqual(Array(10).fill(401));
    expect(statuses.slice(10)).toEqual([429, 429]);
  });

  test("a session that ended elsewhere leads to sign-in, which says so", async () => {
    const cookie = (await context.cookies()).find((each) => each.name === "skyscale.session_token");
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: "Lax" });
    await call(stack, "POST", "/api/auth/sign-out", { cookie: `${cookie?.name}=${cookie?.value}` });
    await page.goto("/settings?tab=sessions");
    await page.waitForURL("**/sign-in?*ended=1*");
    await page.getByText("Your session has ended.").waitFor();
    await fillSignIn(PASSWORD);
    await page.waitForURL("**/settings?tab=sessions");
  });

  test("sessions are listed and can be ended", async () => {
    const other = await signedIn(stack, ADA);
    await page.reload();
    await page.getByRole("list", { name: "Sessions" }).getByText("(this one)").waitFor();
    await page.getByRole("button", { name: "Sign out everywhere else" }).click();
    await page.getByRole("button", { name: "Sign out everywhere else" }).waitFor({ state: "detached" });
    expect((await call(stack, "GET", "/api/rl/runs", { cookie: other })).status).toBe(401);
    expect((await state()).person?.email).toBe(ADA);
  });
});

describe("API keys", () => {
  test("one is made, shown once, used, and revoked", async () => {
    await page.goto("/settings?tab=keys");
    await page.getByRole("button", { name: "New key" }).click();
    await page.getByLabel("Name").fill("nightly");
    await page.getByLabel("Scope").selectOption("operate");
    await page.getByRole("button", { name: "Make the key" }).click();
    const secret = (await page.getByTestId("secret").textContent())?.trim() ?? "";
    expect(secret).toMatch(/^sky_[\w-]{43}$/);
    await page.getByRole("button", { name: "I have copied it" }).click();
    await page.getByRole("row", { name: /nightly/ }).waitFor();
    await expectGoodLooks(page, "settings-keys", "/settings?tab=keys", "td");
    expect(await page.content()).not.toContain(secret);
    const use = () => fetch(`${stack.api}/api/rl/runs`, { method: "POST", headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" }, body: '{"dry_run":true}' });
    expect((await use()).status).toBe(200);
    await page.getByRole("button", { name: "Revoke nightly" }).click();
    await page.getByRole("button", { name: "Revoke the key" }).click();
    await page.getByRole("row", { name: /nightly/ }).getByText("revoked").waitFor();
    const refused = await use();
    expect([refused.status, (await refused.json()).code]).toEqual([401, "revoked_api_key"]);
  });
});

describe("who may do what", () => {
  const changing = ROUTES.map((route) => route.split(" ") as [string, string]).filter(([method]) => method !== "GET");
  const filled = (path: string) => path.replace(/\{\w+\}/g, "x-1");

  test("no route is reached without a session, at the proxy or behind it", async () => {
    for (const [method, path] of ROUTES.map((route) => route.split(" ") as [string, string])) {
      const reply = await call(stack, method, filled(path));
      expect([reply.status, (await reply.json()).code], `${method} ${path}`).toEqual([401, "sign_in_required"]);
    }
    for (const [method, path] of changing) {
      const direct = await fetch(stack.api + filled(path), { method, body: "{}", headers: { "content-type": "application/json", "x-skyscale-role": "admin", "x-skyscale-user": ADA } });
      expect(direct.status, `${method} ${path}`).toBe(401);
    }
    const stream = await call(stack, "GET", "/api/stream?topics=runs");
    expect(stream.status).toBe(401);
    const forged = await call(stack, "GET", "/api/rl/runs", { cookie: "skyscale.session_token=forged.c2lnbmF0dXJl" });
    expect([forged.status, (await forged.json()).code]).toEqual([401, "session_expired"]);
  });

  test("an admin adds a viewer, who looks and changes nothing", async () => {
    await page.goto("/settings?tab=users");
    await page.getByRole("button", { name: "Add a user" }).click();
    const dialog = page.getByRole("dialog", { name: "Add a user" });
    await dialog.getByLabel("Name").fill("Vic");
    await dialog.getByLabel("E-mail").fill(VIC);
    await dialog.getByLabel("First password").fill(PASSWORD);
    await dialog.getByRole("button", { name: "Add the user" }).click();
    await page.getByRole("row", { name: /Vic/ }).waitFor();
    await expectGoodLooks(page, "settings-users", "/settings?tab=users", "td");
    const cookie = await signedIn(stack, VIC);
    expect((await call(stack, "GET", "/api/rl/runs", { cookie })).status).toBe(200);
    for (const [method, path] of changing.filter(([, path]) => !path.startsWith("/api/keys"))) {
      const reply = await call(stack, method, filled(path), { cookie });
      expect([reply.status, (await reply.json()).code], `${method} ${path}`).toEqual([403, "role_too_low"]);
    }
    const high = await call(stack, "POST", "/api/keys", { cookie, body: { name: "k", scope: "operate" } });
    expect([high.status, (await high.json()).code]).toEqual([403, "insufficient_scope"]);
    expect((await call(stack, "GET", "/api/account/users", { cookie })).status).toBe(403);
  });

  test("who is demoted or removed loses the keys that reach too far", async () => {
    const admin = await cookieOfPage();
    const vic = (await (await call(stack, "GET", "/api/account/users", { cookie: admin })).json()).users.find((user: { email: string }) => user.email === VIC);
    expect((await call(stack, "PATCH", `/api/account/users/${vic.id}`, { cookie: admin, body: { role: "operator" } })).status).toBe(204);
    const cookie = await signedIn(stack, VIC);
    const keys = await Promise.all(["read", "operate"].map(async (scope) => (await (await call(stack, "POST", "/api/keys", { cookie, body: { name: scope, scope } })).json()).secret as string));
    const statuses = () => Promise.all(keys.map(async (key) => (await fetch(`${stack.api}/api/rl/runs`, { headers: { authorization: `Bearer ${key}` } })).status));
    expect(await statuses()).toEqual([200, 200]);
    await call(stack, "PATCH", `/api/account/users/${vic.id}`, { cookie: admin, body: { role: "viewer" } });
    expect(await statuses()).toEqual([200, 401]);
    expect((await call(stack, "DELETE", `/api/account/users/${vic.id}`, { cookie: admin })).status).toBe(204);
    expect(await statuses()).toEqual([401, 401]);
    expect((await call(stack, "GET", "/api/rl/runs", { cookie })).status).toBe(401);
    const me = (await state()).person;
    const last = await call(stack, "PATCH", `/api/account/users/${me?.id}`, { cookie: admin, body: { role: "viewer" } });
    expect([last.status, (await last.json()).code]).toEqual([409, "last_admin"]);
  });

  test("another site's page and a foreign name are refused, signed in or not", async () => {
    const cookie = await cookieOfPage();
    const foreign = await call(stack, "POST", "/api/rl/runs", { cookie, body: { dry_run: true }, headers: { origin: "https://evil.example" } });
    expect([foreign.status, (await foreign.json()).code]).toEqual([403, "foreign_origin"]);
    expect((await call(stack, "POST", "/api/rl/runs", { cookie, body: { dry_run: true } })).status).toBe(200);
    expect((await call(stack, "POST", "/api/jobs/j-1/heartbeat", { cookie })).status).toBe(404);
  });
});

test("a dashboard with another token says so, on the page too", async () => {
  const bundle = [join(import.meta.dirname, "../../../src/skyscale/dashboard_dist"), join(import.meta.dirname, "../../.next/standalone")].find((path) => existsSync(join(path, "server.js")));
  const port = await freePort();
  const child = spawn(process.execPath, ["--require", "./preload.cjs", "server.js"], {
    cwd: bundle ?? "",
    env: { ...process.env, NODE_ENV: "production", NODE_OPTIONS: "", HOSTNAME: "127.0.0.1", PORT: String(port), SKYSCALE_API_URL: stack.api, SKYSCALE_DATA_DIR: stack.folder, SKYSCALE_DASHBOARD_TOKEN: "another token than the other's" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  try {
    await outputUntil(child, /Ready/);
    const other = { ...stack, url: `http://127.0.0.1:${port}` };
    const reply = await call(other, "GET", "/api/rl/runs", { cookie: await cookieOfPage() });
    expect([reply.status, (await reply.json()).code]).toEqual([502, "dashboard_token_mismatch"]);
    await page.goto(`${other.url}/`);
    await page.getByText("The dashboard and the control plane have different tokens").first().waitFor();
  } finally {
    await ended(child);
  }
});

test("the token never reached the browser, and no page broke its own policy", () => {
  expect(seen.length).toBeGreaterThan(20);
  expect(seen.filter((text) => text.includes(stack.token) || text.includes("SKYSCALE_DASHBOARD_TOKEN="))).toEqual([]);
  expect(problems).toEqual([]);
});

async function state(): Promise<{ person: { id: string; email: string; role: string } | null; isSetupNeeded: boolean }> {
  return (await context.request.get("/api/account")).json();
}

async function cookieOfPage(): Promise<string> {
  const cookie = (await context.cookies(stack.url)).find((each) => each.name === "skyscale.session_token");
  return `${cookie?.name}=${cookie?.value}`;
}

async function fillSetUp(code: string | null): Promise<void> {
  if (code !== null) await page.getByLabel("Set-up code").fill(code);
  await page.getByLabel("Name").fill("Ada");
  await page.getByLabel("E-mail").fill(ADA);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Create the admin account" }).click();
}

async function fillSignIn(password: string): Promise<void> {
  await page.getByLabel("E-mail").fill(ADA);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
}

async function expectValue(label: string, value: string): Promise<void> {
  const field = page.getByLabel(label);
  await field.waitFor();
  await page.waitForFunction(([element, wanted]) => (element as HTMLInputElement).value === wanted, [await field.elementHandle(), value] as const);
}
