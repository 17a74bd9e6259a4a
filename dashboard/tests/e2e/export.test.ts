/** Without Node: the control plane serves the same pages, which read and change nothing. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ended, openBrowser, outputUntil, python } from "./stack";

const ROOT = new URL("../../../", import.meta.url).pathname;

test.skipIf(!existsSync(join(ROOT, "src/skyscale/dashboard_dist/export/index.html")))("the read-only pages need no Node", async () => {
  const folder = mkdtempSync(join(tmpdir(), "skyscale-export-"));
  const kept = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(DATABASE_URL|SKYSCALE_)/.test(name)));
  const env = { ...kept, PYTHONPATH: join(ROOT, "src"), PYTHONUNBUFFERED: "1" } as unknown as NodeJS.ProcessEnv;
  const child = spawn(python(), ["-m", "skyscale.cli.main", "serve", "--port", "0", "--data-dir", folder], { env, stdio: ["ignore", "pipe", "pipe"] });
  const browser = await openBrowser();
  try {
    const url = (await outputUntil(child, /ready at (http:\S+)/))[1] ?? "";
    const page = await browser.newPage();
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(error.message));
    page.on("console", (message) => /Content Security Policy/.test(message.text()) && problems.push(message.text()));
    await page.goto(url);
    await page.getByRole("heading", { name: "Training" }).waitFor();
    await page.getByText("Read only").waitFor();
    await page.goto(`${url}/settings/`);
    await page.getByText("This is the read-only dashboard").waitFor();
    expect(new URL(page.url()).pathname).toBe("/settings/");
    expect(problems).toEqual([]);
  } finally {
    await browser.close();
    await ended(child);
    rmSync(folder, { recursive: true, force: true });
  }
});
