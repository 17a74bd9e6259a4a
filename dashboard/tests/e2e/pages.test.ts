/** Every page as a person uses it, on the real stack: a control plane, the built dashboard, a run of the starter model. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { expectGoodLooks, shoot } from "./looks";
import { openBrowser, PASSWORD, python } from "./stack";
import { Servers, SETUP_CODE } from "./servers";

const SLOW = { timeout: 90_000 };
const servers = new Servers();
const defects: string[] = [];
let browser: Browser;
let context: BrowserContext;
let page: Page;
let runId = "";

beforeAll(async () => {
  servers.settings = { GRAFANA_BASE_URL: "https://grafana.example" };
  [browser] = await Promise.all([openBrowser(), servers.start()]);
  context = await browser.newContext({ baseURL: servers.url, viewport: { width: 1440, height: 900 }, colorScheme: "light" });
  context.setDefaultTimeout(20_000);
  page = await context.newPage();
  page.on("pageerror", (error) => defects.push(error.message));
});

afterAll(async () => {
  await browser?.close();
  await servers.stop();
});

test("whoever has the first account sees that nothing has been trained yet", async () => {
  const reply = await page.request.post("/api/auth/sign-up/email", {
    data: { name: "Ada", email: "ada@example.org", password: PASSWORD },
    headers: { origin: servers.url, "x-skyscale-setup-code": SETUP_CODE },
  });
  expect(reply.status(), await reply.text()).toBe(200);
  await page.goto("/");
  await page.getByText("Nothing has been trained yet").waitFor();
  await shoot(page, "training-empty");
});

test("a value that the server refuses is explained beside its field, before anything starts", async () => {
  await page.keyboard.press("n");
  const dialog = page.getByRole("dialog", { name: "Start a run" });
  await dialog.getByLabel("Rollout workers").fill("0");
  await dialog.getByText("Input should be greater than or equal to 1").waitFor();
  expect(await dialog.getByRole("button", { name: "Start the run" }).isDisabled()).toBe(true);
  await dialog.getByLabel("Rollout workers").fill("");
  await dialog.getByText("Checked by a dry run: ready").waitFor();
  await dialog.getByTestId("price").getByText(/^(Costs|Nobody knows)/).waitFor();
  await shoot(page, "start-a-run");
});

test("a run is started, and its reward moves before one's eyes", async () => {
  await page.getByRole("button", { name: "Start the run" }).click();
  await page.waitForURL(/\/run\/?\?id=rl-/, SLOW);
  runId = new URL(page.url()).searchParams.get("id") ?? "";
  const reward = page.getByTestId("reward");
  await expect.poll(() => reward.textContent(), { timeout: 120_000 }).toMatch(/^\d/);
  const [first, points] = [await reward.textContent(), await pointsOf("reward")];
  await expect.poll(() => reward.textContent(), SLOW).not.toBe(first);
  expect(await page.getByTestId("cost").textContent()).toMatch(/^\$\d/);
  await expect.poll(() => pointsOf("reward"), SLOW).toBeGreaterThan(points);
});

test("a run tells its events, logs, processes, versions and details", async () => {
  const tab = (name: RegExp) => page.getByRole("tab", { name }).click();
  expect(await page.getByRole("link", { name: "Grafana" }).getAttribute("href")).toMatch(new RegExp(`^https://grafana.example/d/.*${runId}`));
  await tab(/^Events/);
  await page.getByText("policy.published").first().waitFor();
  await shoot(page, "run-events");
  await tab(/^Logs/);
  await page.getByRole("button", { name: "policy" }).click();
  await page.getByRole("tabpanel").getByText(/lines|printed nothing/).first().waitFor();
  await tab(/^Processes/);
  await page.getByRole("heading", { name: "worker 0" }).waitFor();
  await shoot(page, "run-processes");
  await tab(/^Versions/);
  await page.getByRole("cell", { name: /^\d+/ }).first().waitFor();
  await page.getByRole("img", { name: /versions; the slowest was served/ }).locator("svg").first().waitFor(SLOW);
  await shoot(page, "run-versions");
  await tab(/^Details/);
  await page.getByText("skyscale/starter").waitFor();
});

test("the page survives a restart of the control plane without a reload", async () => {
  await page.goto(`/run?id=${runId}`);
  await page.getByTestId("reward").waitFor();
  await page.evaluate(() => Object.assign(window, { isTheSamePage: true }));
  await servers.stopControlPlane();
  await page.getByTestId("live").getByText("Control plane down").waitFor(SLOW);
  expect(await page.getByTestId("reward").textContent()).toMatch(/^\d/);
  await servers.startControlPlane();
  await page.getByTestId("live").getByText("Live", { exact: true }).waitFor(SLOW);
  const points = await pointsOf("reward");
  await expect.poll(() => pointsOf("reward"), { timeout: 120_000 }).toBeGreaterThan(points);
  expect(await page.evaluate(() => "isTheSamePage" in window)).toBe(true);
});

test("what the model wrote can be read, with every token", async () => {
  await page.getByRole("tab", { name: "Rollouts" }).click();
  await page.getByTestId("tokens").first().waitFor(SLOW);
  await page.getByTestId("heat-legend").getByText("certain").waitFor();
  await page.getByRole("button", { name: "Version", exact: true }).click();
  await page.getByLabel("state").selectOption("consumed");
  const areConsumed = (rows: string[]) => rows.length > 0 && rows.every((row) => /consumed|all equal/.test(row));
  await expect.poll(async () => areConsumed(await page.getByText(/ passed · /).allInnerTexts()), SLOW).toBe(true);
  await page.getByRole("button", { name: "Log probability", exact: true }).click();
  await page.getByTestId("tokens").first().waitFor(SLOW);
  await shoot(page, "rollouts");
  const search = page.getByLabel("Search what was written");
  await search.pressSequentially("return", { delay: 40 });
  await page.waitForURL(/r_text=return/);
  expect(await search.inputValue()).toBe("return");
  await page.getByTestId("tokens").first().waitFor(SLOW);
});

test("the policy server of a live run is measured by a click", async () => {
  await page.goto("/benchmarks");
  const card = page.getByRole("region", { name: "Policy server" });
  await card.getByLabel("Live run").selectOption(runId);
  await card.getByRole("button", { name: "Measure" }).click();
  await card.getByText("Median of 3 tries").or(card.getByRole("alert")).first().waitFor(SLOW);
  expect(await card.getByRole("alert").allInnerTexts()).toEqual([]);
  expect(await card.getByText(/[\d.,]+ tokens\/s/).textContent()).toMatch(/[1-9]/);
});

test("a run is stopped after a question", async () => {
  await page.goto(`/run?id=${runId}`);
  await page.getByRole("button", { name: "Stop", exact: true }).click();
  const question = page.getByRole("dialog", { name: `Stop ${runId}?` });
  await question.getByText(/weights of version/).waitFor();
  await question.getByRole("button", { name: "Stop the run" }).click();
  await page.locator("h1").getByText("stopped").waitFor(SLOW);
});

test("10,000 points of 4 runs are drawn anew within 50 ms", async () => {
  execFileSync(python(), [new URL("clone_runs.py", import.meta.url).pathname, join(servers.folder, "skyscale.db"), runId, "4", "10000"]);
  const ids = [0, 1, 2, 3].map((n) => `rl-clone-${n}`);
  await page.goto(`/?compare=${ids.join(",")}`);
  await expect.poll(() => pointsOf("loss"), SLOW).toBe(40_000);
  await page.evaluate(() => performance.clearMeasures());
  for (let i = 0; i < 8; i++) {
    await page.getByLabel("Smoothing", { exact: false }).first().press(i % 2 ? "ArrowLeft" : "ArrowRight");
    await page.waitForTimeout(400);
  }
  const [prepared, drawn] = await page.evaluate(() => {
    const median = (name: string) => {
      const times = performance.getEntriesByName(name).map(({ duration }) => duration).sort((a, b) => a - b);
      return times[times.length >> 1] ?? Infinity;
    };
    return [median("chart-prepare"), median("chart-draw")];
  });
  console.log(`a chart of 4 x 10,000 points, medians: prepared in ${prepared?.toFixed(1)} ms, drawn in ${drawn?.toFixed(1)} ms`);
  expect((prepared ?? Infinity) + (drawn ?? Infinity)).toBeLessThan(50);
  await page.getByRole("button", { name: "Take rl-clone-2 out of the comparison" }).click();
  await expect.poll(() => pointsOf("loss"), SLOW).toBe(30_000);
  await page.getByLabel("Compare rl-clone-2").check();
  await expect.poll(() => pointsOf("loss"), SLOW).toBe(40_000);
  await page.waitForTimeout(600); // The run that the pointer is on comes to the front of one chart after the other.
  await shoot(page, "compare");
});

test("the first page with its charts is light", async () => {
  const fresh = await context.newPage();
  await fresh.goto("/");
  await fresh.locator("[data-chart=reward] canvas").waitFor();
  const kb = await fresh.evaluate(() => {
    const files = performance.getEntriesByType("resource") as PerformanceResourceTiming[];
    return files.filter(({ name }) => /\.(js|css)(\?|$)/.test(name)).reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0) / 1000;
  });
  await fresh.close();
  console.log(`scripts and styles of the first page with charts: ${kb.toFixed(1)} kB as sent`);
  expect(kb).toBeGreaterThan(50);
  expect(kb).toBeLessThan(300);
});

test("what does not exist is said plainly", async () => {
  await page.goto("/run?id=rl-nobody");
  await page.getByRole("alert").getByText("There is no such run").waitFor();
  await page.goto("/run");
  await page.getByText("No run is named in this address").waitFor();
  await page.goto("/nowhere");
  await page.getByText("There is no such page").waitFor();
});

test("pages are reached by the keyboard", async () => {
  await page.goto("/");
  await page.locator("[data-row]").first().waitFor();
  await page.keyboard.press("j");
  expect(await page.evaluate(() => document.activeElement?.hasAttribute("data-row"))).toBe(true);
  await page.keyboard.press("g");
  await page.keyboard.press("p");
  await page.waitForURL("**/problems");
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
  await page.keyboard.press("Escape");
});

test.each([["training", "/"], ["run", "/run?id="]])("%s has no serious accessibility fault, in both themes and on a phone", async (name, address) => {
  await expectGoodLooks(page, name, address.endsWith("=") ? address + runId : address, "[data-chart=reward] canvas");
});

test("no page threw", () => {
  expect(defects).toEqual([]);
});

async function pointsOf(chart: string): Promise<number> {
  return Number(await page.locator(`[data-chart="${chart}"]`).getAttribute("data-points"));
}
