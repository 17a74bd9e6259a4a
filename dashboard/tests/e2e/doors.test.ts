/** Every door of both servers, tried by nobody, by another site, and behind TLS: no page, only calls. */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { call, PASSWORD, startStack, type Stack } from "./stack";

const ADA = "ada@example.org";
const PUBLIC_URL = "https://sky.example";
const HANDLERS = new URL("../../src/app/api/", import.meta.url).pathname;
const CHANGING = new Set(["POST", "PUT", "PATCH", "DELETE"]);
/** What somebody without a session must reach to get one; sign-out ends what is not there. */
const FOR_ANYBODY = new Set(["POST /api/auth/[...all]"]);
let stack: Stack;
let cookie = "";
let setCookie = "";

beforeAll(async () => {
  stack = await startStack({ SKYSCALE_DASHBOARD_URL: PUBLIC_URL });
  const reply = await call(stack, "POST", "/api/auth/sign-up/email", { body: { name: "Ada", email: ADA, password: PASSWORD }, headers: { "x-skyscale-setup-code": stack.code, origin: PUBLIC_URL } });
  expect(reply.status, await reply.clone().text()).toBe(200);
  setCookie = reply.headers.getSetCookie()[0] ?? "";
  cookie = setCookie.split(";")[0] ?? "";
});

afterAll(async () => stack?.stop());

describe("the control plane, by its own description", () => {
  const { paths } = JSON.parse(readFileSync(new URL("../../../openapi.json", import.meta.url), "utf8")) as { paths: Record<string, Record<string, unknown>> };
  const changing = Object.entries(paths).flatMap(([path, operations]) => Object.keys(operations).map((method) => [method.toUpperCase(), path] as const)).filter(([method]) => CHANGING.has(method));

  test("nobody changes anything, through the dashboard or past it", async () => {
    for (const area of ["rl/runs", "training/jobs", "functions", "deployments", "services", "sandboxes", "rl/problem-sets", "keys"])
      expect(changing.filter(([, path]) => path.startsWith(`/api/${area}`)).length, area).toBeGreaterThan(1);
    for (const [method, template] of changing) {
      const path = template.replace(/\{\w+\}/g, "x-1");
      const through = await call(stack, method, path);
      // Routes of jobs are unknown to the dashboard, to anybody.
      expect([401, 404], `${method} ${path}`).toContain(through.status);
      const past = await fetch(stack.api + path, { method, body: "{}", headers: { "content-type": "application/json", "x-skyscale-role": "admin", "x-skyscale-user": ADA } });
      expect([past.status, (await past.json()).code], `${method} ${path}`).toEqual([401, "unauthorized"]);
    }
  });

  test("no page of another site changes anything in the name of somebody who is signed in", async () => {
    for (const [method, template] of changing) {
      const path = template.replace(/\{\w+\}/g, "x-1");
      for (const headers of [{ origin: "https://evil.example" }, { origin: "null" }]) {
        const reply = await call(stack, method, path, { cookie, headers });
        expect([reply.status, (await reply.json()).code], `${method} ${path}`).toEqual([403, "foreign_origin"]);
      }
    }
  });
});

describe("the dashboard's own handlers, by their files", () => {
  const doors = handlers().flatMap(({ route, methods }) => methods.filter((method) => CHANGING.has(method)).map((method) => [method, route] as const));

  test("nobody changes anything", async () => {
    expect(doors.length).toBeGreaterThan(5);
    for (const [method, route] of doors) {
      if (FOR_ANYBODY.has(`${method} ${route}`)) continue;
      const reply = await call(stack, method, addressOf(route, method), { body: { run_id: "rl-1", role: "admin", email: "eve@example.org", name: "Eve", password: PASSWORD } });
      // The way to the control plane knows no PUT and no PATCH of this path.
      const isUnknown = route === "/api/[...path]" && method.startsWith("P") && method !== "POST";
      expect([reply.status, (await reply.json()).code], `${method} ${route}`).toEqual(isUnknown ? [404, "not_found"] : [401, "sign_in_required"]);
    }
  });

  test("no page of another site changes anything", async () => {
    for (const [method, route] of doors) {
      const reply = await call(stack, method, addressOf(route, method), { cookie, headers: { origin: "https://evil.example" } });
      expect([reply.status, (await reply.json()).code], `${method} ${route}`).toEqual([403, "foreign_origin"]);
    }
  });

  test("nobody lists or ends what belongs to people", async () => {
    for (const path of ["/api/account/users", "/api/account/sessions"]) expect((await call(stack, "GET", path)).status, path).toBe(401);
    expect([404, 405]).toContain((await call(stack, "GET", "/api/auth/list-sessions")).status);
    expect((await (await call(stack, "GET", "/api/account")).json()).person).toBeNull();
  });
});

describe("what browsers are told", () => {
  test("the session cookie is out of reach of scripts, other sites and plain HTTP", () => {
    expect(cookie).toMatch(/^__Secure-skyscale\.session_token=/);
    for (const flag of ["HttpOnly", "Secure", "SameSite=Lax", "Path=/"]) expect(setCookie.toLowerCase()).toContain(flag.toLowerCase());
    expect(setCookie).not.toMatch(/Domain=/i);
  });

  test("pages come with their policy, and every page with another nonce", async () => {
    const pages = await Promise.all(["/", "/", "/settings"].map((path) => call(stack, "GET", path, { cookie })));
    const policies = pages.map(({ headers }) => headers.get("content-security-policy") ?? "");
    expect(new Set(policies).size).toBe(3);
    for (const [i, { headers, status }] of pages.entries()) {
      expect(status).toBe(200);
      expect(policies[i]).toMatch(/script-src 'self' 'nonce-[\w+/=]{20,}'; .*object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'/);
      expect(["x-content-type-options", "x-frame-options", "referrer-policy", "cross-origin-opener-policy", "cache-control"].map((name) => headers.get(name))).toEqual(["nosniff", "DENY", "same-origin", "same-origin", "private, no-store"]);
      expect(headers.get("x-powered-by")).toBeNull();
    }
  });

  test("a reply of the API is never taken for a page of ours", async () => {
    for (const path of ["/api/rl/runs", "/api/rl/runs/rl-nobody", "/api/account"]) {
      const { headers } = await call(stack, "GET", path, { cookie });
      expect(headers.get("content-type"), path).toMatch(/^application\/(problem\+)?json/);
      expect([headers.get("x-content-type-options"), headers.get("content-security-policy")], path).toEqual(["nosniff", "default-src 'none'; frame-ancestors 'none'; sandbox"]);
    }
  });
});

/** The path and the methods of every route handler, from its file. */
function handlers(): { route: string; methods: string[] }[] {
  const files = readdirSync(HANDLERS, { recursive: true, withFileTypes: true }).filter(({ name }) => name === "route.ts");
  return files.map(({ parentPath }) => ({
    route: `/api/${relative(HANDLERS, parentPath)}`,
    methods: [...readFileSync(join(parentPath, "route.ts"), "utf8").matchAll(/\b(GET|POST|PUT|PATCH|DELETE)\b/g)].map(([method]) => method),
  }));
}

function addressOf(route: string, method: string): string {
  const known: Record<string, string> = { "/api/[...path]": method === "DELETE" ? "/api/rl/runs/x-1" : "/api/rl/runs", "/api/auth/[...all]": "/api/auth/sign-out" };
  return known[route] ?? route.replace(/\[\w+\]/g, "x-1");
}
