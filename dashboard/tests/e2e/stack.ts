/** `skyscale up` with a token and a folder of its own, as a person starts it, and a browser. */
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, type Browser } from "playwright-core";

const START_MS = 120_000;
const ROOT = new URL("../../../", import.meta.url).pathname;
export const PASSWORD = "correct horse battery";

export interface Stack {
  url: string;
  api: string;
  token: string;
  folder: string;
  code: string;
  stop: (isKept?: boolean) => Promise<void>;
}

/** `again`: the folder of a stack that was stopped, to start it again; it has an account by now, so there is no set-up code. */
export async function startStack(settings: Record<string, string> = {}, again: string | null = null): Promise<Stack> {
  const folder = again ?? mkdtempSync(join(tmpdir(), "skyscale-e2e-"));
  const token = `token-of-this-test-${Math.random().toString(36).slice(2)}`;
  const [port, dashboardPort] = [await freePort(), await freePort()];
  const environment: NodeJS.ProcessEnv = { ...process.env, SKYSCALE_DASHBOARD_TOKEN: token, PYTHONPATH: join(ROOT, "src"), PYTHONUNBUFFERED: "1" };
  for (const name of ["DATABASE_URL", "SKYSCALE_API_KEY", "SKYSCALE_URL", "BETTER_AUTH_SECRET", "NODE_OPTIONS", "NODE_ENV"]) delete environment[name];
  Object.assign(environment, settings);
  const args = ["-m", "skyscale.cli.main", "up", "--port", String(port), "--dashboard-port", String(dashboardPort), "--data-dir", folder];
  const child = spawn(python(), args, { env: environment, stdio: ["ignore", "pipe", "pipe"] });
  const said = await outputUntil(child, again === null ? /set-up code +(\S+)/ : /Dashboard at/);
  return {
    url: `http://127.0.0.1:${dashboardPort}`,
    api: `http://127.0.0.1:${port}`,
    token,
    folder,
    code: said[1] ?? "",
    stop: async (isKept = false) => {
      await ended(child);
      if (!isKept) rmSync(folder, { recursive: true, force: true });
    },
  };
}

export async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  const late = setTimeout(() => child.kill("SIGKILL"), 30_000);
  await gone;
  clearTimeout(late);
}

export function openBrowser(): Promise<Browser> {
  const executablePath = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) => path && existsSync(path));
  if (!executablePath) throw new Error("no Chromium: apt-get install chromium, or set CHROMIUM");
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
}

/** The output so far, matched, as soon as it matches. */
export function outputUntil(child: ChildProcess, pattern: RegExp): Promise<RegExpExecArray> {
  return new Promise((resolve, reject) => {
    let text = "";
    const timer = setTimeout(() => reject(new Error(`not started in time:\n${text}`)), START_MS);
    const hear = (chunk: Buffer) => {
      text += chunk.toString();
      const match = pattern.exec(text);
      if (!match) return;
      clearTimeout(timer);
      resolve(match);
    };
    child.stdout?.on("data", hear);
    child.stderr?.on("data", hear);
    child.once("exit", (code) => reject(new Error(`ended with ${code}:\n${text}`)));
  });
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => (address && typeof address === "object" ? resolve(address.port) : reject(new Error("no port"))));
    });
  });
}

export function python(): string {
  return [process.env.PYTHON, join(ROOT, ".venv/bin/python")].find((path) => path && existsSync(path)) ?? "python3";
}

/** A call as a page of this dashboard makes it, with the cookie of a session. */
export function call(stack: Stack, method: string, path: string, options: { cookie?: string; body?: object; headers?: Record<string, string> } = {}): Promise<Response> {
  const headers: Record<string, string> = { origin: stack.url, ...options.headers };
  if (options.cookie) headers.cookie = options.cookie;
  const init: RequestInit = { method, headers, redirect: "manual" };
  if (method !== "GET") Object.assign(init, { body: JSON.stringify(options.body ?? {}), headers: { ...headers, "content-type": "application/json" } });
  return fetch(stack.url + path, init);
}

/** The cookie of a new session. */
export async function signedIn(stack: Stack, email: string, password = PASSWORD): Promise<string> {
  const reply = await call(stack, "POST", "/api/auth/sign-in/email", { body: { email, password } });
  const cookie = reply.headers.getSetCookie()[0]?.split(";")[0];
  if (!reply.ok || !cookie) throw new Error(`sign-in: ${reply.status} ${await reply.text()}`);
  return cookie;
}
