/** How quickly the first page answers a hand while four runs stream into it: their list, their charts, their states. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, CDPSession, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Servers, SETUP_CODE } from "../e2e/servers";
import { openBrowser, PASSWORD, python } from "../e2e/stack";

const NUM_RUNS = 4;
const NUM_POINTS = 10_000;
const MEASURED_MS = Number(process.env.PERF_SECONDS ?? 45) * 1000;
/** What the browser reports events from; quicker ones are counted as this long. */
const FLOOR_MS = 16;
const servers = new Servers();
let browser: Browser;
let page: Page;
let devtools: CDPSession | undefined;

beforeAll(async () => {
  [browser] = await Promise.all([openBrowser(), servers.start()]);
  const context = await browser.newContext({ baseURL: servers.url, viewport: { width: 1440, height: 900 } });
  context.setDefaultTimeout(60_000);
  await context.addInitScript(watchInteractions, FLOOR_MS);
  page = await context.newPage();
  const reply = await page.request.post("/api/auth/sign-up/email", { data: { name: "Ada", email: "ada@example.org", password: PASSWORD }, headers: { origin: servers.url, "x-skyscale-setup-code": SETUP_CODE } });
  expect(reply.status(), await reply.text()).toBe(200);
});

afterAll(async () => {
  await browser?.close();
  await servers.stop();
});

test("four runs stream, and the page is used meanwhile", async () => {
  const ids: string[] = [];
  for (let seed = 0; seed < NUM_RUNS; seed++) {
    const reply = await page.request.post("/api/rl/runs", { data: { seed }, headers: { origin: servers.url } });
    expect(reply.status(), await reply.text()).toBe(202);
    ids.push(((await reply.json()) as { run_id: string }).run_id);
  }
  await page.goto(`/?compare=${ids.join(",")}`);
  await expect.poll(() => streaming(ids), { timeout: 300_000, interval: 1_000 }).toBe(NUM_RUNS);
  const before = await points();
  const cpuBefore = await pageCpuSeconds();
  const { delays, slowest } = await used(MEASURED_MS);
  const cpu = (await pageCpuSeconds()) - cpuBefore;
  const arrived = (await points()) - before;
  await stopAll(ids);
  const [first] = ids;
  const longest = await longHistories(first ?? "");
  const figures = {
    interaction_p95_ms: percentile(delays, 0.95),
    interaction_p50_ms: percentile(delays, 0.5),
    interaction_max_ms: Math.max(...delays),
    interactions: delays.length,
    page_cpu_share: rounded(cpu / (MEASURED_MS / 1000), 3),
    slowest,
    runs_streaming: NUM_RUNS,
    points_arrived_meanwhile: arrived,
    chart_update_ms: longest.update,
    chart_points: NUM_RUNS * NUM_POINTS,
    first_page_gzip_kb: await firstPage(),
  };
  if (process.env.PERF_OUT) writeFileSync(process.env.PERF_OUT, JSON.stringify(figures));
  expect(arrived).toBeGreaterThan(0);
  expect(delays.length).toBeGreaterThan(20);
});

/** In the page, before its own scripts: the longest event of each interaction, as Chrome's own "interaction to next paint". */
function watchInteractions(floor: number): void {
  const worst = new Map<number, { ms: number; what: string }>();
  const seen = (list: PerformanceObserverEntryList) => {
    for (const entry of list.getEntries() as PerformanceEventTiming[]) {
      const { interactionId = 0 } = entry as unknown as { interactionId?: number };
      if (interactionId > 0 && entry.duration > (worst.get(interactionId)?.ms ?? 0)) {
        const { processingStart, processingEnd, startTime, duration, name, target } = entry;
        const parts = [processingStart - startTime, processingEnd - processingStart, startTime + duration - processingEnd].map(Math.round);
        worst.set(interactionId, { ms: duration, what: `${name} ${(target as HTMLElement | null)?.ariaLabel ?? target?.textContent?.slice(0, 20) ?? ""}: waited ${parts[0]}, handled ${parts[1]}, painted ${parts[2]}` });
      }
    }
  };
  new PerformanceObserver(seen).observe({ type: "event", durationThreshold: floor, buffered: true } as PerformanceObserverInit);
  Object.assign(window, { slowInteractions: () => [...worst.values()], forgetInteractions: () => worst.clear() });
}

/** Processor time of the page's main thread so far: unlike a delay, it does not depend on who else is computing. */
async function pageCpuSeconds(): Promise<number> {
  devtools ??= await page.context().newCDPSession(page);
  await devtools.send("Performance.enable", { timeDomain: "threadTicks" });
  const { metrics } = await devtools.send("Performance.getMetrics");
  return metrics.find(({ name }) => name === "TaskDuration")?.value ?? NaN;
}

interface Watched {
  slowInteractions: () => { ms: number; what: string }[];
  forgetInteractions: () => void;
}

/** Do what an operator does for so long, and give the delay of each interaction, with where the longest went. */
async function used(durationMs: number): Promise<{ delays: number[]; slowest: string[] }> {
  await page.evaluate(() => (window as unknown as Watched).forgetInteractions());
  const count = () => page.evaluate(() => (performance as unknown as { interactionCount: number }).interactionCount);
  const [from, until] = [await count(), Date.now() + durationMs];
  const slider = page.getByLabel("Smoothing", { exact: false }).first();
  const search = page.getByLabel("Search runs");
  const acts = [
    () => slider.press("ArrowRight"),
    () => page.getByRole("button", { name: "Log" }).click(),
    () => search.pressSequentially("rl", { delay: 60 }),
    () => slider.press("ArrowLeft"),
    () => search.fill(""),
    () => page.getByRole("button", { name: "Linear" }).click(),
    () => page.getByRole("checkbox").first().click(),
    () => page.keyboard.press("j"),
    () => page.getByRole("checkbox").first().click(),
    () => page.locator("th button").first().click(),
  ];
  for (let i = 0; Date.now() < until; i++) {
    await acts[i % acts.length]?.();
    await page.waitForTimeout(250);
  }
  await page.waitForTimeout(1_000);
  const slow = await page.evaluate(() => (window as unknown as Watched).slowInteractions());
  const total = (await count()) - from;
  const slowest = [...slow].sort((a, b) => b.ms - a.ms).slice(0, 6).map(({ ms, what }) => `${ms} ms: ${what}`);
  return { delays: [...slow.map(({ ms }) => ms), ...Array<number>(Math.max(0, total - slow.length)).fill(FLOOR_MS)], slowest };
}

async function longHistories(runId: string): Promise<{ update: number }> {
  execFileSync(python(), [new URL("../e2e/clone_runs.py", import.meta.url).pathname, join(servers.folder, "skyscale.db"), runId, String(NUM_RUNS), String(NUM_POINTS)]);
  await page.goto(`/?compare=${Array.from({ length: NUM_RUNS }, (_, n) => `rl-clone-${n}`).join(",")}`);
  await expect.poll(() => page.locator("[data-chart=loss]").getAttribute("data-points"), { timeout: 90_000 }).toBe(String(NUM_RUNS * NUM_POINTS));
  await page.evaluate(() => performance.clearMeasures());
  for (let i = 0; i < 12; i++) {
    await page.getByLabel("Smoothing", { exact: false }).first().press(i % 2 ? "ArrowLeft" : "ArrowRight");
    await page.waitForTimeout(300);
  }
  const times = (name: string) => page.evaluate((which) => performance.getEntriesByName(which).map(({ duration }) => duration), name);
  return { update: rounded(percentile(await times("chart-prepare"), 0.5) + percentile(await times("chart-draw"), 0.5)) };
}

/** The page itself, its scripts and its styles with charts, as they are sent. */
async function firstPage(): Promise<number> {
  const fresh = await page.context().newPage();
  await fresh.goto("/");
  await fresh.locator("[data-chart=reward] canvas").waitFor();
  const bytes = await fresh.evaluate(() => {
    const files = performance.getEntriesByType("resource") as PerformanceResourceTiming[];
    const [document] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
    return files.filter(({ name }) => /\.(js|css)(\?|$)/.test(name)).reduce((sum, { encodedBodySize }) => sum + encodedBodySize, document?.encodedBodySize ?? 0);
  });
  await fresh.close();
  return rounded(bytes / 1000);
}

async function streaming(ids: string[]): Promise<number> {
  const { runs } = (await (await page.request.get("/api/rl/runs")).json()) as { runs: { run_id: string; status: string; last_reward: number | null; reason: string | null }[] };
  const ended = runs.filter(({ status }) => status === "failed");
  expect(ended.map(({ reason }) => reason)).toEqual([]);
  return runs.filter(({ run_id, last_reward }) => ids.includes(run_id) && last_reward !== null).length;
}

async function points(): Promise<number> {
  return Number(await page.locator("[data-chart=loss]").getAttribute("data-points"));
}

async function stopAll(ids: string[]): Promise<void> {
  for (const id of ids) await page.request.delete(`/api/rl/runs/${id}`, { headers: { origin: servers.url } });
}

function percentile(values: number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Infinity;
}

function rounded(value: number, digits = 1): number {
  return Number(value.toFixed(digits));
}
