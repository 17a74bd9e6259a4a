// Prints what the first page of a standalone build costs to load, gzipped, and fails above the limit.
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { gzipSync } from "node:zlib";

const LIMIT_KB = 300;
const port = await freePort();
const server = spawn(process.execPath, [new URL("start.mjs", import.meta.url).pathname], { env: { ...process.env, PORT: String(port), SKYSCALE_API_URL: "http://127.0.0.1:9" }, stdio: "ignore" });
try {
  const html = await page(`http://127.0.0.1:${port}${process.argv[2] ?? "/"}`);
  const paths = [...new Set([...html.matchAll(/(?:src|href)="(\/[^"]+\.(?:js|css))[^"]*"/g)].map(([, path]) => path))];
  const sizes = await Promise.all(paths.map(async (path) => ({ path, kb: gzipSync(Buffer.from(await (await fetch(`http://127.0.0.1:${port}${path}`)).arrayBuffer())).length / 1000 })));
  const total = sizes.reduce((sum, { kb }) => sum + kb, gzipSync(html).length / 1000);
  for (const { path, kb } of sizes.sort((a, b) => b.kb - a.kb)) console.log(`${kb.toFixed(1).padStart(8)} kB  ${path}`);
  console.log(JSON.stringify({ first_page_kb_gzipped: Number(total.toFixed(1)), limit_kb: LIMIT_KB }));
  process.exitCode = total < LIMIT_KB ? 0 : 1;
} finally {
  server.kill();
}

async function page(url) {
  for (let i = 0; i < 100; i++) {
    const reply = await fetch(url).catch(() => null);
    if (reply?.ok) return reply.text();
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`${url} did not answer: run npm run build first`);
}

function freePort() {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port: free } = probe.address();
      probe.close(() => resolve(free));
    });
  });
}
