/** The pages beside training, as a person uses them on the real stack: sandboxes, problems, templates, jobs, load speed. */
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startCompanion, type Companion } from "./companion";
import { expectGoodLooks, shoot } from "./looks";
import { openBrowser, PASSWORD } from "./stack";
import { Servers, SETUP_CODE } from "./servers";

const SLOW = { timeout: 90_000 };
const servers = new Servers();
const defects: string[] = [];
let hub: Companion | undefined;
let browser: Browser;
let context: BrowserContext;
let page: Page;

beforeAll(async () => {
  hub = await startCompanion("huggingface.py");
  const [url = "", token = "", namespace = ""] = hub.said.split(" ");
  servers.settings = { HF_ENDPOINT: url, HF_TOKEN: token, SKYSCALE_HF_NAMESPACE: namespace };
  [browser] = await Promise.all([openBrowser(), servers.start()]);
  context = await browser.newContext({ baseURL: servers.url, viewport: { width: 1440, height: 900 }, colorScheme: "light" });
  context.setDefaultTimeout(20_000);
  page = await context.newPage();
  page.on("pageerror", (error) => defects.push(error.message));
  const reply = await page.request.post("/api/auth/sign-up/email", {
    data: { name: "Ada", email: "ada@example.org", password: PASSWORD },
    headers: { origin: servers.url, "x-skyscale-setup-code": SETUP_CODE },
  });
  expect(reply.status(), await reply.text()).toBe(200);
});

afterAll(async () => {
  await browser?.close();
  await servers.stop();
  await hub?.stop();
});

test("a sandbox is made, runs a program, shows its files and is destroyed", async () => {
  await page.goto("/faas");
  await page.locator("[data-new]").first().click();
  await page.getByRole("button", { name: "Make it" }).click();
  await page.getByLabel("Program").fill("open('kept.txt', 'w').write('x')\nprint(6 * 7)");
  await page.keyboard.press("Control+Enter");
  await page.getByTestId("exec-result").getByText("exit code 0").waitFor(SLOW);
  await page.getByRole("log", { name: "Output" }).getByText("42", { exact: true }).waitFor();
  await shoot(page, "sandboxes");
  await page.getByRole("tab", { name: "Files" }).click();
  await page.getByRole("link", { name: /kept.txt/ }).waitFor();
  await page.getByRole("button", { name: "Destroy", exact: true }).click();
  await page.getByRole("button", { name: "Destroy it" }).click();
  await page.getByText("0 open, 1 destroyed").waitFor(SLOW);
});

test("a problem is tried by hand and judged by its hidden tests", async () => {
  await page.goto("/problems?id=plus-1");
  await page.getByLabel("Your program").fill("def f(p):\n    return p + 2");
  await page.getByRole("button", { name: "Judge it" }).click();
  await page.getByTestId("verdict").getByText("6 of 6 tests passed").waitFor(SLOW);
});

test("problems are uploaded, and every mistake is named by its line", async () => {
  const good = { id: "add-one", family: "add", prompt: "Write a function f(x) that returns x plus 1.", difficulty: "easy", style: "calls", entry_point: "f", test_cases: ["assert f(1) == 2", "assert f(5) == 6"], solution: "def f(x):\n    return x + 1" };
  await page.getByRole("button", { name: "Upload problems" }).click();
  const dialog = page.getByRole("dialog", { name: "Upload problems" });
  const choose = (text: string) => dialog.getByLabel("File").setInputFiles({ name: "mine.jsonl", mimeType: "application/jsonl", buffer: Buffer.from(text) });
  await dialog.getByLabel("Name").fill("mine");
  await choose(`${JSON.stringify(good)}\nthis is not JSON\n`);
  await dialog.getByRole("button", { name: "Upload", exact: true }).click();
  await dialog.getByRole("alert").getByText(/line 2/).waitFor();
  await choose(`${JSON.stringify(good)}\n`);
  await dialog.getByRole("button", { name: "Upload", exact: true }).click();
  await dialog.getByTestId("uploaded").getByText(/mine@\w+ is there/).waitFor(SLOW);
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: /^mine/ }).click();
  await page.getByText("add-one").first().click();
  await page.getByLabel("Your program").fill("def f(x):\n    return x + 1");
  await page.getByRole("button", { name: "Judge it" }).click();
  await page.getByTestId("verdict").getByText("2 of 2 tests passed").waitFor(SLOW);
});

test("a template opens its dialog, filled in", async () => {
  await page.goto("/templates");
  await page.getByRole("link", { name: "Use it: On-policy" }).click();
  const dialog = page.getByRole("dialog", { name: "Start a run" });
  await dialog.getByText("Checked by a dry run: ready").waitFor();
  expect(await dialog.getByLabel("Group size").inputValue()).toBe("16");
  await page.keyboard.press("Escape");
});

test("a command runs as a job, and its log is read", async () => {
  await page.goto("/gpus");
  await page.getByRole("region", { name: "Inventory" }).getByRole("list", { name: "Providers" }).getByText("local").first().waitFor(SLOW);
  await page.locator("[data-new]").click();
  await page.getByLabel("Command").fill('["python3", "-c", "print(\'hello from a job\')"]');
  await page.getByRole("button", { name: "Submit", exact: true }).click();
  await page.getByRole("dialog").getByText("hello from a job").waitFor(SLOW);
  await page.keyboard.press("Escape");
});

test("an accelerator is chosen by its price, and a job of it is followed and reckoned", async () => {
  await page.goto("/gpus");
  const offer = page.getByRole("region", { name: "Accelerators" }).getByRole("row", { name: /h200/ }).first();
  await offer.getByText("$5.00 / h").waitFor();
  await offer.getByRole("button", { name: /Use h200/ }).click();
  const dialog = page.getByRole("dialog", { name: "Submit a job" });
  expect([await dialog.getByLabel("Provider").inputValue(), await dialog.getByLabel("GPU model").inputValue()]).toEqual(["huggingface", "h200"]);
  await dialog.getByLabel("Command").fill('["python3", "-c", "print(\'from far away\')"]');
  await dialog.getByLabel("Docker image").fill("python:3.12");
  await dialog.getByRole("button", { name: "Submit", exact: true }).click();
  await page.getByRole("dialog").getByText("from far away").waitFor(SLOW);
  await page.keyboard.press("Escape");
  await page.getByRole("region", { name: "Jobs" }).getByRole("row", { name: /huggingface, h200.*\$/ }).waitFor(SLOW);
  await page.getByTestId("spending").getByText(/^Spent (\$0\.0|< \$0\.001)/).waitFor(SLOW);
});

test("load speed is measured by a click and remembered", async () => {
  await page.goto("/benchmarks");
  await page.getByText("No measurement yet").first().waitFor();
  await page.getByRole("region", { name: "API" }).getByRole("button", { name: "Measure" }).click();
  await page.getByRole("region", { name: "API" }).getByText("Median of 20 tries").waitFor(SLOW);
  await page.reload();
  await page.getByRole("region", { name: "API" }).getByText("Median of 20 tries").waitFor();
  await page.getByRole("region", { name: "API" }).getByRole("button", { name: "Measure" }).click();
  await page.getByRole("img", { name: "API: medians of 2 measurements" }).locator("svg").first().waitFor(SLOW);
});

test.each(["/problems", "/templates", "/faas", "/gpus", "/benchmarks", "/settings"])("%s has no serious accessibility fault, in both themes and on a phone", async (address) => {
  await expectGoodLooks(page, { "/faas": "sandboxes", "/benchmarks": "load-speed" }[address] ?? address.slice(1), address);
});

test("no page threw", () => {
  expect(defects).toEqual([]);
});
