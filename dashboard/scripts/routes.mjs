// Writes src/server/routeTable.ts: the routes of ../openapi.json that a person's browser may reach through the proxy.
// `--check` only says whether it is up to date.
import { readFileSync, writeFileSync } from "node:fs";

const target = new URL("../src/server/routeTable.ts", import.meta.url);
const { paths } = JSON.parse(readFileSync(new URL("../../openapi.json", import.meta.url), "utf8"));

// What only the processes of runs call. They have their own tokens and call the control plane directly.
const OF_JOBS = /^\/api\/(jobs\/|executions\/\{\w+\}\/(work|result)|sandboxes\/hosts\/|training\/metrics|rl\/(buffer\/(?!stats)|env\/(tickets|groups\/)|runs\/\{run_id\}\/policy-server))|^PUT \/api\/training\/jobs\/\{job_id\}\/artifacts|^POST \/api\/rl\/runs\/\{run_id\}\/(policies|events)$/;

const routes = Object.entries(paths)
  .flatMap(([path, operations]) => Object.keys(operations).map((method) => [method.toUpperCase(), path]))
  .filter(([method, path]) => path.startsWith("/api/") && !OF_JOBS.test(path) && !OF_JOBS.test(`${method} ${path}`))
  .map(([method, path]) => `  "${method} ${path}",`)
  .sort();
const text = `// Generated from openapi.json by scripts/routes.mjs; run \`npm run api\`.\n\nexport const ROUTES = [\n${routes.join("\n")}\n] as const;\n`;

if (process.argv.includes("--check")) {
  if (readFileSync(target, "utf8") !== text) {
    console.error("src/server/routeTable.ts is out of date: run `npm run api` in dashboard/");
    process.exit(1);
  }
} else writeFileSync(target, text);
