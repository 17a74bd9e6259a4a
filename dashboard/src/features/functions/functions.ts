/** Functions and endpoints as the control plane tells them, and the calls that the page makes. */
import { readJson } from "@/client/api";

export interface FunctionSpec {
  code: string;
  entry: string;
  style: "event" | "arguments";
  requirements: string[];
  memory: number;
  timeout: number;
  scaledown_window: number;
  warm: number;
  gpu: { model: string; provider: string } | null;
}

export interface FunctionView {
  name: string;
  version: string;
  spec: FunctionSpec;
  updated_at: string;
  num_warm: number;
}

export interface Execution {
  execution_id: string;
  function: string;
  version: string;
  status: string;
  output: unknown;
  error_message: string | null;
  error_traceback: string | null;
  is_cold: boolean | null;
  duration_ms: number | null;
  created_at: string;
}

export interface Endpoint {
  id: string;
  slug: string;
  function: string;
  url: string;
  web_method: string;
  is_public: boolean;
  last_request_at: string | null;
}

export const listFunctions = async () => (await readJson<{ functions: FunctionView[] }>("/api/functions?limit=200")).functions;
export const listEndpoints = async () => (await readJson<{ deployments: Endpoint[] }>("/api/deployments?limit=200")).deployments;
export const listExecutions = async (name: string) => (await readJson<{ executions: Execution[] }>(`/api/executions/function/${encodeURIComponent(name)}?limit=30`)).executions;
export const readLogs = (id: string) => readJson<{ stdout: string; stderr: string }>(`/api/executions/${encodeURIComponent(id)}/logs`);

export function deploy(body: { name: string; code: string; entry: string }): Promise<FunctionView> {
  return send("POST", "/api/functions", body);
}

/** Call it and wait. Throws SyntaxError for an input that is no JSON. */
export function invoke(name: string, input: string): Promise<Execution> {
  return send("POST", `/api/functions/${encodeURIComponent(name)}/invoke`, { input: JSON.parse(input.trim() || "null") as unknown });
}

export function remove(name: string): Promise<unknown> {
  return send("DELETE", `/api/functions/${encodeURIComponent(name)}`);
}

function send<T>(method: string, path: string, body?: object): Promise<T> {
  return readJson<T>(path, { method, ...(body ? { headers: { "content-type": "application/json" }, body: JSON.stringify(body) } : {}) });
}
