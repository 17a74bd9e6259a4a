/** Functions and container services, deployed, called and ended from their tabs, on the real stack. */
import { execFileSync } from "node:child_process";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startCompanion, type Companion } from "./companion";
import { expectGoodLooks, shoot } from "./looks";
import { openBrowser, PASSWORD, python } from "./stack";
import { Servers, SETUP_CODE } from "./servers";

const SLOW = { timeout: 60_000 };
const servers = new Servers();
const defects: string[] = [];
let railway: Companion | undefined;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  railway = await startCompanion("railway.py");
  const [url = "", token = ""] = railway.said.split(" ");
  servers.settings = { RAILWAY_API_URL: url, RAILWAY_TOKEN: token };
  [browser] = await Promise.all([openBrowser(), servers.start()]);
  const context = await browser.newContext({ baseURL: servers.url, viewport: { width: 1440, height: 900 }, colorScheme: "light" });
  context.setDefaultTimeout(20_000);
  page = await context.newPage();
  page.on("pageerror", (error) => defects.push(error.message));
  const reply = await page.request.post("/api/auth/sign-up/email", { data: { name: "Ada", email: "ada@example.org", password: PASSWORD }, headers: { origin: servers.url, "x-skyscale-setup-code": SETUP_CODE } });
  expect(reply.status(), await reply.text()).toBe(200);
});

afterAll(async () => {
  await browser?.close();
  await servers.stop();
  await railway?.stop();
});

describe("functions", () => {
  test("one that a program deployed with the SDK is there, and is called by hand", async () => {
    await page.goto("/faas?tab=functions");
    await page.getByText("No function is deployed").waitFor();
    const { secret } = (await (await page.request.post("/api/keys", { data: { name: "sdk", scope: "operate" }, headers: { origin: servers.url } })).json()) as { secret: string };
    execFileSync(python(), [new URL("deploy_function.py", import.meta.url).pathname], { env: servers.clientEnvironment(secret) });
    await page.getByRole("list", { name: "Functions" }).getByText("greet").waitFor();
    await page.getByLabel("Input as JSON").fill('{"name": "Ada"}');
    await page.getByRole("button", { name: "Call it" }).click();
    const result = page.getByTestId("call-result");
    await result.getByText("completed").waitFor(SLOW);
    expect(await result.innerText()).toContain('"greeting": "Hello Ada"');
  });

  test("the call is among the last ones, with what it printed", async () => {
    const calls = page.getByRole("list", { name: "Last calls" });
    await calls.getByRole("button", { name: /completed/ }).first().click();
    await calls.getByText("asked by Ada").waitFor();
    await shoot(page, "functions");
  });

  test("a call that fails says what it raised, and where", async () => {
    await page.getByLabel("Input as JSON").fill("{}");
    await page.getByRole("button", { name: "Call it" }).click();
    const result = page.getByTestId("call-result");
    await result.getByText("failed").waitFor(SLOW);
    expect(await result.innerText()).toMatch(/KeyError: 'name'[\s\S]*line 3/);
    await page.getByLabel("Input as JSON").fill("{name: Ada}");
    await page.getByRole("button", { name: "Call it" }).click();
    await page.getByRole("alert").getByText("The input is no JSON").waitFor();
  });

  test("code that does not compile is refused by its line, and then deployed from the page", async () => {
    await page.getByRole("button", { name: "Deploy a function" }).click();
    const dialog = page.getByRole("dialog", { name: "Deploy a function" });
    await dialog.getByLabel("Name").fill("twice");
    await dialog.getByLabel("Code").fill("def handler(event)\n    return 2\n");
    await dialog.getByRole("button", { name: "Deploy", exact: true }).click();
    await dialog.getByRole("alert").getByText(/line 1/).waitFor();
    await dialog.getByLabel("Code").fill("def handler(event):\n    return 2 * event\n");
    await dialog.getByRole("button", { name: "Deploy", exact: true }).click();
    await page.getByRole("heading", { name: "twice" }).waitFor();
    await page.getByLabel("Input as JSON").fill("21");
    await page.keyboard.press("Control+Enter");
    await page.getByTestId("call-result").getByText("42").waitFor(SLOW);
  });

  test("nobody calls, deploys or deletes without an account", async () => {
    for (const [method, path] of [["POST", "/api/functions/greet/invoke"], ["POST", "/api/functions"], ["PUT", "/api/functions/greet"], ["DELETE", "/api/functions/greet"], ["POST", "/api/services"]] as const) {
      for (const [server, code] of [[servers.url, "sign_in_required"], [servers.apiUrl, "unauthorized"]] as const) {
        const reply = await fetch(server + path, { method, body: method === "DELETE" ? null : "{}", headers: { origin: servers.url, "content-type": "application/json" } });
        expect([reply.status, ((await reply.json()) as { code: string }).code], `${method} ${server}${path}`).toEqual([401, code]);
      }
    }
    const { executions } = (await (await page.request.get("/api/executions/function/greet")).json()) as { executions: unknown[] };
    expect(executions).toHaveLength(2);
  });

  test("one is deleted after a question", async () => {
    await page.getByRole("button", { name: "Delete", exact: true }).click();
    await page.getByRole("dialog", { name: "Delete twice?" }).getByRole("button", { name: "Delete it" }).click();
    await page.getByRole("list", { name: "Functions" }).getByText("twice").waitFor({ state: "detached" });
    await expectGoodLooks(page, "functions", "/faas?tab=functions");
  });
});

describe("container services", () => {
  test("a template is deployed with its variable, and its address answers", async () => {
    await page.goto("/faas?tab=services");
    await page.getByText("No service is deployed").waitFor();
    await page.getByRole("button", { name: "Deploy a service" }).click();
    const dialog = page.getByRole("dialog", { name: "Deploy a service" });
    await dialog.getByLabel("Name").fill("Adder!");
    await dialog.getByRole("button", { name: "Deploy", exact: true }).click();
    expect(await dialog.getByLabel("Name").evaluate((field) => (field as HTMLInputElement).validity.patternMismatch)).toBe(true);
    await dialog.getByLabel("Name").fill("adder");
    await dialog.getByLabel("Max cost in USD").fill("2");
    await dialog.getByLabel("FUNCTION").fill("{'sum': sum(event['numbers'])}");
    await shoot(page, "deploy-a-service");
    await dialog.getByRole("button", { name: "Deploy", exact: true }).click();
    const panel = page.getByRole("region", { name: "Service adder" });
    await panel.getByText("running").waitFor(SLOW);
    await panel.getByText(/^at most \$|^at most </).waitFor(SLOW);
    await panel.getByLabel("Fill in the test of").selectOption("python-fn");
    await panel.getByRole("button", { name: "Send" }).click();
    await panel.getByTestId("service-reply").getByText('{"sum": 6}').waitFor();
  });

  test("the page of templates leads to the dialog, with the template chosen", async () => {
    await page.goto("/templates");
    await page.getByRole("link", { name: "Use it: Embeddings" }).click();
    const dialog = page.getByRole("dialog", { name: "Deploy a service" });
    await dialog.getByLabel("DIMENSIONS").waitFor();
    expect(await dialog.getByLabel("What").inputValue()).toBe("embeddings-api");
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("region", { name: "Service adder" }).waitFor();
  });

  test("what it printed is read", async () => {
    await page.getByRole("button", { name: "Read again" }).click();
    await page.getByRole("log", { name: "Log of adder" }).getByText(/POST/).first().waitFor();
    await expectGoodLooks(page, "services", "/faas?tab=services");
  });

  test("a name that is taken is refused, and said", async () => {
    await page.getByRole("button", { name: "Deploy a service" }).click();
    const dialog = page.getByRole("dialog", { name: "Deploy a service" });
    await dialog.getByLabel("Name").fill("adder");
    await dialog.getByLabel("What").selectOption({ label: "An image of my own" });
    await dialog.getByLabel("Image").fill("nginx:1");
    await dialog.getByLabel("Environment").fill("no equals sign");
    await dialog.getByRole("button", { name: "Deploy", exact: true }).click();
    await dialog.getByRole("alert").getByText("“no equals sign” is no NAME=value.").waitFor();
    await dialog.getByLabel("Environment").fill("A=1");
    await dialog.getByRole("button", { name: "Deploy", exact: true }).click();
    await dialog.getByRole("alert").getByText(/409/).waitFor();
    await page.keyboard.press("Escape");
  });

  test("it is stopped and deleted after a question each", async () => {
    await page.getByRole("button", { name: "Stop", exact: true }).click();
    await page.getByRole("dialog", { name: "Stop adder?" }).getByRole("button", { name: "Stop it" }).click();
    await page.getByRole("region", { name: "Service adder" }).getByText("stopped").waitFor(SLOW);
    await page.getByRole("button", { name: "Delete", exact: true }).click();
    await page.getByRole("dialog", { name: "Delete adder?" }).getByRole("button", { name: "Delete it" }).click();
    await page.getByText("No service is deployed").waitFor(SLOW);
  });
});

test("no page threw", () => {
  expect(defects).toEqual([]);
});
