// Writes src/server/routeTable.ts: the routes of ../openapi.json that a person's browser may reach through the proxy.
// `--check` only says whether it is up to date. A route that no list knows stops both: somebody must decide.
import { readFileSync, writeFileSync } from "node:fs";

const target = new URL("../src/server/routeTable.ts", import.meta.url);
const { paths } = JSON.parse(readFileSync(new URL("../../openapi.json", import.meta.url), "utf8"));

// What only the processes of runs and hosts call. They have their own tokens and call the control plane directly.
const OF_JOBS = [
  /^\w+ \/api\/jobs\//,
  /^\w+ \/api\/executions\/\{\w+\}\/(work|result)$/,
  /^\w+ \/api\/sandboxes\/hosts\//,
  /^PUT \/api\/training\/jobs\/\{job_id\}\/artifacts/,
  /^POST \/api\/training\/metrics$/,
  /^\w+ \/api\/rl\/buffer\/(?!stats$)/,
  /^\w+ \/api\/rl\/env\/(tickets$|groups\/)/,
  /^POST \/api\/rl\/runs\/\{run_id\}\/(policies|policy-server|events)$/,
];

// What people do. All of it needs an account; what changes something needs an operator's, a person's own keys excepted.
const OF_PEOPLE = [
  /^\w+ \/api\/(keys|whoami|costs|replicas|gpus|templates|functions|executions|deployments|services|sandboxes)(\/|$)/,
  /^\w+ \/api\/training\/jobs(\/|$)/,
  /^\w+ \/api\/rl\/(runs|problem-sets)(\/|$)/,
  /^\w+ \/api\/rl\/env\/(problems|reset|step|close)(\/|$)/,
  /^GET \/api\/rl\/buffer\/stats$/,
];

const isIn = (list, route) => list.some((pattern) => pattern.test(route));
const all = Object.entries(paths)
  .flatMap(([path, operations]) => Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`))
  .filter((route) => route.includes(" /api/"));
const undecided = all.filter((route) => !isIn(OF_JOBS, route) && !isIn(OF_PEOPLE, route));
if (undecided.length > 0) {
  console.error(`may browsers reach these? decide in dashboard/scripts/routes.mjs:\n  ${undecided.join("\n  ")}`);
  process.exit(1);
}
const routes = all.filter((route) => !isIn(OF_JOBS, route)).map((route) => `  "${route}",`).sort();
const text = `// Generated from openapi.json by scripts/routes.mjs; run \`npm run api\`.\n\nexport const ROUTES = [\n${routes.join("\n")}\n] as const;\n`;

if (process.argv.includes("--check")) {
  if (readFileSync(target, "utf8") !== text) {
    console.error("src/server/routeTable.ts is out of date: run `npm run api` in dashboard/");
    process.exit(1);
  }
} else writeFileSync(target, text);
