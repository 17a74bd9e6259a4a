/** What a person sees when something is wrong: always words and a way on, never a blank page or a stack. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Servers, SETUP_CODE } from "./servers";
import { openBrowser, PASSWORD, python } from "./stack";

const SLOW = { timeout: 60_000 };
const servers = new Servers();
const defects: string[] = [];
let browser: Browser;
let page: Page;

beforeAll(async () => {
  [browser] = await Promise.all([openBrowser(), servers.start()]);
  const context = await browser.newContext({ baseURL: servers.url });
  context.setDefaultTimeout(20_000);
  page = await context.newPage();
  page.on("pageerror", (error) => defects.push(`${page.url()}: ${error.message}`));
  const reply = await page.request.post("/api/auth/sign-up/email", { data: { name: "Ada", email: "ada@example.org", password: PASSWORD }, headers: { origin: servers.url, "x-skyscale-setup-code": SETUP_CODE } });
  expect(reply.status(), await reply.text()).toBe(200);
});

afterAll(async () => {
  await browser?.close();
  await servers.stop();
});

test.each([
  ["/run?id=rl-nobody", "There is no such run"],
  ["/run?id=%3Cscript%3Ealert(1)%3C/script%3E", "No run is named in this address"],
  ["/?compare=rl-nobody,rl-neither", "Nothing has been trained yet"],
  ["/gpus?job=job-nobody", "job-nobody"],
  ["/gpus?template=nothing", "There is no template “nothing”"],
  ["/faas?id=sb-nobody", "sb-nobody is not among the newest sandboxes"],
  ["/problems?id=no-such-problem", "There is no problem no-such-problem here"],
  ["/problems?set=no-such-set", "there is no problem set"],
  ["/settings?tab=nothing", "Settings"],
])("%s says “%s”", async (address, said) => {
  await page.goto(address);
  await page.getByText(said).filter({ visible: true }).first().waitFor();
  expect(await stacks()).toEqual([]);
});

test.each([
  ["nothing at all", "", /empty|no problem|line 1/i],
  ["bytes that are no text", "\u0000\u0001\ufffd\n", /line 1/],
  ["a line that is cut off", '{"id": "a", "prompt":\n', /line 1/],
  ["a list instead of an object", "[1, 2]\n", /line 1/],
])("a file with %s is refused by its line", async (_, text, said) => {
  await page.goto("/problems");
  await page.getByRole("button", { name: "Upload problems" }).click();
  const dialog = page.getByRole("dialog", { name: "Upload problems" });
  await dialog.getByLabel("Name").fill("broken");
  await dialog.getByLabel("File").setInputFiles({ name: "broken.jsonl", mimeType: "application/jsonl", buffer: Buffer.from(text, "latin1") });
  await dialog.getByRole("button", { name: "Upload", exact: true }).click();
  await dialog.getByRole("alert").getByText(said).first().waitFor(SLOW);
  expect(await stacks()).toEqual([]);
});

test("a wrong password is said in words", async () => {
  const stranger = await browser.newContext({ baseURL: servers.url });
  const door = await stranger.newPage();
  await door.goto("/gpus");
  await door.waitForURL("**/sign-in?next=*");
  await door.getByLabel("E-mail").fill("ada@example.org");
  await door.getByLabel("Password").fill("not the password");
  await door.getByRole("button", { name: "Sign in" }).click();
  await door.getByRole("alert").getByText("Invalid email or password").waitFor();
  await stranger.close();
});

test("a control plane that is down is said on every page, and each goes on by itself", async () => {
  await page.goto("/");
  await servers.stopControlPlane();
  for (const address of ["/", "/run?id=rl-1", "/problems", "/templates", "/faas", "/gpus", "/settings?tab=keys"]) {
    await page.goto(address);
    await page.getByText("The control plane is down").filter({ visible: true }).first().waitFor(SLOW);
    expect(await stacks(), address).toEqual([]);
  }
  await page.goto("/");
  await page.getByText("The control plane is down").first().waitFor(SLOW);
  await servers.startControlPlane();
  await page.getByText("Nothing has been trained yet").waitFor(SLOW);
});

test("a session that expires while a page is open leads to sign-in, which says so and leads back", async () => {
  await page.goto("/problems?id=plus-1");
  await page.getByLabel("Your program").fill("def f(p):\n    return p + 2");
  const expire = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('UPDATE session SET expiresAt = ?', (sys.argv[2],)); c.commit()";
  execFileSync(python(), ["-c", expire, join(servers.folder, "accounts.db"), "2020-01-01T00:00:00.000Z"]);
  await page.getByRole("button", { name: "Judge it" }).click();
  await page.waitForURL("**/sign-in?*ended=1*");
  await page.getByText("Your session has ended.").waitFor();
  await page.getByLabel("E-mail").fill("ada@example.org");
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL("**/problems?id=plus-1");
  await page.getByLabel("Your program").waitFor();
});

test("no page threw", () => {
  expect(defects).toEqual([]);
});

/** What looks like the trace of an exception on the page. */
async function stacks(): Promise<string[]> {
  const text = await page.locator("body").innerText();
  expect(text.trim().length).toBeGreaterThan(100);
  return text.match(/Traceback|\bat \w+ \(.*:\d+:\d+\)|Unhandled|Application error|undefined is not/g) ?? [];
}
