// Prints what the first page of a standalone build costs a signed-in person to load, gzipped, and fails above the limit.
// Charts come after it, when there is a run to draw: they are counted by the pages suite.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const LIMIT_KB = 300;
const CODE = "BUNDLE-SIZE";
const port = await freePort();
const folder = mkdtempSync(join(tmpdir(), "skyscale-bundle-"));
const server = spawn(process.execPath, [new URL("start.mjs", import.meta.url).pathname], { env: { ...process.env, PORT: String(port), SKYSCALE_API_URL: "http://127.0.0.1:9", SKYSCALE_DATA_DIR: folder, SKYSCALE_SETUP_CODE: CODE }, stdio: "ignore" });
try {
  const html = await page(`http://127.0.0.1:${port}`, process.argv[2] ?? "/");
  const paths = [...new Set([...html.matchAll(/(?:src|href)="(\/[^"]+\.(?:js|css))[^"]*"/g)].map(([, path]) => path))];
  const sizes = await Promise.all(paths.map(async (path) => ({ path, kb: gzipSync(Buffer.from(await (await fetch(`http://127.0.0.1:${port}${path}`)).arrayBuffer())).length / 1000 })));
  const total = sizes.reduce((sum, { kb }) => sum + kb, gzipSync(html).length / 1000);
  for (const { path, kb } of sizes.sort((a, b) => b.kb - a.kb)) console.log(`${kb.toFixed(1).padStart(8)} kB  ${path}`);
  console.log(JSON.stringify({ first_page_kb_gzipped: Number(total.toFixed(1)), limit_kb: LIMIT_KB }));
  process.exitCode = total < LIMIT_KB ? 0 : 1;
} finally {
  server.kill();
  rmSync(folder, { recursive: true, force: true });
}

async function page(site, path) {
  for (let i = 0; i < 100 && !(await fetch(`${site}/setup`).catch(() => null))?.ok; i++) await new Promise((resolve) => setTimeout(resolve, 200));
  const headers = { "content-type": "application/json", origin: site, "x-skyscale-setup-code": CODE };
  const body = JSON.stringify({ name: "Size", email: "size@example.org", password: "correct horse battery" });
  const signUp = await fetch(`${site}/api/auth/sign-up/email`, { method: "POST", headers, body });
  const cookie = signUp.headers.getSetCookie().map((each) => each.split(";")[0]).join("; ");
  const reply = await fetch(site + path, { headers: { cookie }, redirect: "manual" });
  if (reply.status !== 200) throw new Error(`${path} was answered ${reply.status}: run npm run build first`);
  return reply.text();
}

function freePort() {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port: free } = probe.address();
      probe.close(() => resolve(free));
    });
  });
}
