/** A control plane and the built dashboard, each a process of its own, so that one can be restarted without the other. */
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ended, freePort, outputUntil, python } from "./stack";

const ROOT = new URL("../../../", import.meta.url).pathname;
const TOKEN = "the-token-of-both-servers";
export const SETUP_CODE = "TEST-CODE-TEST-CODE";

export class Servers {
  readonly folder = mkdtempSync(join(tmpdir(), "skyscale-pages-"));
  url = "";
  /** More of the control plane's environment. */
  settings: Record<string, string> = {};
  private api = 0;
  private controlPlane: ChildProcess | null = null;
  private dashboard: ChildProcess | null = null;

  async start(): Promise<void> {
    this.api = await freePort();
    const port = await freePort();
    this.url = `http://127.0.0.1:${port}`;
    await this.startControlPlane();
    const env = this.environment({ PORT: String(port), SKYSCALE_API_URL: this.apiUrl, SKYSCALE_DATA_DIR: this.folder, SKYSCALE_SETUP_CODE: SETUP_CODE, BETTER_AUTH_URL: this.url });
    this.dashboard = spawn(node(), [new URL("../../scripts/start.mjs", import.meta.url).pathname], { env, stdio: ["pipe", "pipe", "pipe"] });
    await outputUntil(this.dashboard, /Ready in/);
  }

  async startControlPlane(): Promise<void> {
    const args = ["-m", "skyscale.cli.main", "serve", "--host", "127.0.0.1", "--port", String(this.api), "--data-dir", this.folder];
    this.controlPlane = spawn(python(), args, { env: this.environment({ PYTHONPATH: join(ROOT, "src"), PYTHONUNBUFFERED: "1", ...this.settings }), stdio: ["ignore", "pipe", "pipe"] });
    await outputUntil(this.controlPlane, /is ready at/);
  }

  get apiUrl(): string {
    return `http://127.0.0.1:${this.api}`;
  }

  /** What a program needs to call the control plane with an API key. */
  clientEnvironment(key: string): NodeJS.ProcessEnv {
    return this.environment({ PYTHONPATH: join(ROOT, "src"), SKYSCALE_URL: this.apiUrl, SKYSCALE_API_KEY: key, SKYSCALE_DASHBOARD_TOKEN: "" });
  }

  async stopControlPlane(): Promise<void> {
    if (this.controlPlane) await ended(this.controlPlane);
  }

  async stop(): Promise<void> {
    if (this.dashboard) await ended(this.dashboard);
    await this.stopControlPlane();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private environment(own: Record<string, string>): NodeJS.ProcessEnv {
    const kept = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(DATABASE_URL|GRAFANA_|HF_|RAILWAY_|SKYSCALE_|BETTER_AUTH_|NODE_|VITEST)/.test(name)));
    return { ...kept, NODE_ENV: "production", SKYSCALE_DASHBOARD_TOKEN: TOKEN, ...own };
  }
}

/** The Node that `skyscale up` takes: one whose SQLite needs no flag. */
function node(): string {
  return [process.env.DASHBOARD_NODE, process.execPath].find((path) => path && existsSync(path)) ?? "node";
}
