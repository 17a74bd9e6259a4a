// @ts-check
// A burst of sandboxes, and of function calls where FUNCTION_NAME is set. For k6:
//
//   k6 run perf/faas_load_test.js -e API_URL=http://127.0.0.1:8080 [-e API_KEY=sky_...] [-e FUNCTION_NAME=name]
//
// perf/faas_load.py is the same scenario for locust, and is what the tests run. Limits: nothing fails, and the 95th
// percentile of a call stays below P95_MS. scripts/check_load_test.py checks the types.

import http from "k6/http";
import { check } from "k6";
import { Counter, Trend } from "k6/metrics";

const API_URL = __ENV.API_URL || "http://127.0.0.1:8080";
const VUS = Number(__ENV.VUS || 8);
const ITERATIONS = Number(__ENV.ITERATIONS || 100);
const P95_MS = Number(__ENV.P95_MS || 3000);
const FUNCTION_NAME = __ENV.FUNCTION_NAME || "";

const sandboxOk = new Counter("sandbox_ok");
const invokeOk = new Counter("invoke_ok");
const execMs = new Trend("exec_ms", true);

/** @type {import("k6/options").Options} */
export const options = {
  scenarios: {
    burst: { executor: "shared-iterations", vus: VUS, iterations: ITERATIONS, maxDuration: "15m" },
  },
  thresholds: {
    http_req_failed: ["rate==0"],
    http_req_duration: [`p(95)<${P95_MS}`],
    sandbox_ok: [`count==${ITERATIONS}`],
    ...(FUNCTION_NAME ? { invoke_ok: [`count==${ITERATIONS}`] } : {}),
  },
};

/** @returns {import("k6/http").RefinedParams<"text">} */
function params(/** @type {string} */ name) {
  /** @type {Record<string, string>} */
  const headers = { "content-type": "application/json" };
  if (__ENV.API_KEY) headers.authorization = `Bearer ${__ENV.API_KEY}`;
  return { headers, tags: { name }, timeout: "60s", responseType: "text" };
}

function sandbox() {
  const made = http.post(`${API_URL}/api/sandboxes`, JSON.stringify({ ttl_seconds: 120 }), params("create"));
  if (!check(made, { created: (reply) => reply.status === 201 })) return;
  const url = `${API_URL}/api/sandboxes/${made.json("id")}`;
  const body = JSON.stringify({ code: "print(sum(range(1000)))" });
  const done = http.post(`${url}/exec`, body, params("exec"));
  const said = check(done, { computed: (reply) => reply.status === 200 && reply.json("stdout") === "499500\n" });
  execMs.add(done.timings.duration);
  const gone = http.del(url, null, params("delete"));
  if (check(gone, { deleted: (reply) => reply.status === 204 }) && said) sandboxOk.add(1);
}

function invoke() {
  const body = JSON.stringify({ input: { n: __ITER }, sync: true });
  const reply = http.post(`${API_URL}/api/functions/name/${FUNCTION_NAME}/invoke`, body, params("invoke"));
  if (check(reply, { invoked: (each) => each.status === 200 && each.json("status") === "completed" })) invokeOk.add(1);
}

export default function () {
  sandbox();
  if (FUNCTION_NAME) invoke();
}
