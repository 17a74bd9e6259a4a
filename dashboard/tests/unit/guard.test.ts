/** What the proxy lets through: routes, roles, origins, attempts. */
import { describe, expect, test } from "vitest";
import { sessionCookie } from "@/server/accounts/cookie";
import { Limiter } from "@/server/accounts/limiter";
import { isAllowedHost, isSameOrigin } from "@/server/accounts/origin";
import { includes, isRole, neededRole, ROLES } from "@/server/accounts/roles";
import { pageHeaders } from "@/server/pageHeaders";
import { isKnownRoute } from "@/server/routes";
import { ROUTES } from "@/server/routeTable";
import { safeNext } from "@/features/account/next";
import { deviceOf } from "@/features/account/device";

const CHANGING = ROUTES.map((route) => route.split(" ") as [string, string]).filter(([method]) => method !== "GET");

describe("the guard table", () => {
  test.each(CHANGING)("%s %s needs an operator, a person's own keys excepted", (method, path) => {
    expect(neededRole(method, path)).toBe(path.startsWith("/api/keys") ? "viewer" : "operator");
  });

  test("what only the processes of runs call is unknown to browsers", () => {
    for (const path of ["/api/jobs/j-1/heartbeat", "/api/rl/buffer/push", "/api/rl/buffer/sample", "/api/rl/env/tickets", "/api/rl/runs/rl-1/policies", "/api/training/metrics"])
      expect(isKnownRoute("POST", path), path).toBe(false);
    expect(isKnownRoute("GET", "/api/jobs/j-1/assignment")).toBe(false);
  });

  test("known routes match whole paths and their own methods", () => {
    expect(isKnownRoute("GET", "/api/rl/runs/rl-1/events")).toBe(true);
    expect(isKnownRoute("HEAD", "/api/rl/runs")).toBe(true);
    expect(isKnownRoute("GET", "/api/sandboxes/sb-1/files/a/b.txt")).toBe(true);
    for (const [method, path] of [["PATCH", "/api/rl/runs"], ["GET", "/api/rl/runs/"], ["GET", "/metrics"], ["GET", "/api/rl/runs/rl-1/secret"], ["GET", "/x/api/rl/runs"]] as const)
      expect(isKnownRoute(method, path), `${method} ${path}`).toBe(false);
  });

  test("a path that another server may read otherwise is unknown", () => {
    for (const path of ["/api/rl/runs/rl-1%2Fevents", "/api/sandboxes/sb-1/files/..%2f..%2fx", "/api/rl/runs/a%5Cb", "/api/rl/runs/a%00"]) expect(isKnownRoute("GET", path), path).toBe(false);
    expect(isKnownRoute("GET", new URL("http://x/api/sandboxes/sb-1/files/%2e%2e/%2e%2e/%2e%2e/jobs/j-1/assignment").pathname)).toBe(false);
  });

  test("roles are a ladder", () => {
    expect(ROLES.map((have) => ROLES.map((need) => includes(have, need)))).toEqual([[true, false, false], [true, true, false], [true, true, true]]);
    expect([isRole("admin"), isRole("root"), isRole(undefined)]).toEqual([true, false, false]);
  });
});

describe("where a request may come from", () => {
  test.each([["localhost:3000", true], ["127.0.0.1:3000", true], ["[::1]:3000", true], ["192.168.1.7:3000", true], ["rebound.example:3000", false], ["sky.example", true], ["sky.example.evil.com", false], [null, false], ["a b", false]])("Host %s", (host, isAllowed) => {
    expect(isAllowedHost(host, "https://sky.example")).toBe(isAllowed);
  });

  test.each([
    [{ origin: "http://127.0.0.1:3000" }, true],
    [{ origin: "https://sky.example" }, true],
    [{ origin: "https://evil.example" }, false],
    [{ origin: "http://127.0.0.1:3001" }, false],
    [{ origin: "null" }, false],
    [{}, false],
    [{ "sec-fetch-site": "same-origin" }, true],
    [{ "sec-fetch-site": "same-site" }, false],
    [{ origin: "https://evil.example", "sec-fetch-site": "same-origin" }, false],
  ])("a change with %o", (headers, isOurs) => {
    expect(isSameOrigin(new Headers({ host: "127.0.0.1:3000", ...headers }), "https://sky.example")).toBe(isOurs);
  });

  test("sign-in leads back into this site only", () => {
    expect(["/settings?tab=keys", "//evil.example", "https://evil.example", "/\\evil.example", "/sign-in?next=/", null].map(safeNext)).toEqual(["/settings?tab=keys", "/", "/", "/", "/", "/"]);
  });
});

describe("attempts", () => {
  test("are limited per key, and free again after the window", () => {
    const limiter = new Limiter(2, 1_000);
    for (const now of [0, 1]) limiter.count("a", now);
    expect([limiter.waitMs("a", 100), limiter.waitMs("b", 100), limiter.waitMs("a", 1_000)]).toEqual([900, 0, 0]);
    limiter.count("a", 1_000);
    expect(limiter.waitMs("a", 1_001)).toBe(0);
    limiter.count("a", 1_002);
    limiter.clear("a");
    expect(limiter.waitMs("a", 1_003)).toBe(0);
  });

  test("a flood of keys is forgotten oldest first", () => {
    const limiter = new Limiter(1, 60_000);
    for (let i = 0; i < 10_050; i++) limiter.count(`key-${i}`, 0);
    expect([limiter.waitMs("key-0", 1), limiter.waitMs("key-10049", 1)]).toEqual([0, 59_999]);
  });
});

test("the session cookie is found among others, and only by its whole name", () => {
  const of = (cookie: string) => sessionCookie(new Headers({ cookie }));
  expect(of("a=1; skyscale.session_token=x.y; b=2")).toBe("skyscale.session_token=x.y");
  expect(of("__Secure-skyscale.session_token=x")).toBe("__Secure-skyscale.session_token=x");
  expect(of("notskyscale.session_token=x")).toBeNull();
});

test("a page loads no script without its nonce, and cannot be framed", () => {
  const policy = pageHeaders("abc", false)["content-security-policy"] ?? "";
  expect(policy).toContain("script-src 'self' 'nonce-abc';");
  expect(policy).toContain("frame-ancestors 'none'");
  expect(policy).not.toContain("unsafe-eval");
});

test("devices are named for people", () => {
  expect(deviceOf("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/156.0 Safari/537.36")).toBe("Chrome on Linux");
  expect(deviceOf(null)).toBe("Unknown device");
});
