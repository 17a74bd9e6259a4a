// Fails when src/client/schema.ts is not what ../openapi.json generates.
import { readFileSync } from "node:fs";
import openapiTS, { astToString } from "openapi-typescript";

const schema = new URL("../../openapi.json", import.meta.url);
const committed = readFileSync(new URL("../src/client/schema.ts", import.meta.url), "utf8");
const body = astToString(await openapiTS(schema, { defaultNonNullable: false })).trim();
if (!committed.trim().endsWith(body)) {
  console.error("src/client/schema.ts is out of date: run `npm run api` in dashboard/");
  process.exit(1);
}
console.log("src/client/schema.ts agrees with openapi.json");
