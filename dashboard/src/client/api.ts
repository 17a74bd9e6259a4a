/** The control plane's API, typed from its OpenAPI text. Replies of 400 and more are thrown as `ApiError`. */
import createClient from "openapi-fetch";
import { ApiError, errorOf, unreachable } from "./errors";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];

export const api = createClient<paths>({ baseUrl: typeof window === "undefined" ? "http://127.0.0.1" : window.location.origin, fetch: (request: Request) => globalThis.fetch(unlessReadOnly(request.method, request)) });

interface Reply<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The body of a reply. Throws ApiError for everything that is not a success. */
export async function bodyOf<T>(reply: Promise<Reply<T>>): Promise<T> {
  const { data, error, response } = await reply.catch((cause: unknown) => Promise.reject(unreachable(cause)));
  if (!response.ok) throw errorOf(response.status, error);
  return data as T;
}

/** A plain read of a path that the OpenAPI text may not know yet, for routes a control plane may lack. */
export async function readJson<T>(path: string, init: RequestInit = {}): Promise<T> {
  const reply = await fetch(unlessReadOnly(init.method ?? "GET", path), { ...init, headers: { accept: "application/json", ...init.headers } }).catch((cause: unknown) => Promise.reject(unreachable(cause)));
  if (reply.status === 204) return undefined as T;
  const body: unknown = await reply.json().catch(() => null);
  if (!reply.ok || body === null) throw errorOf(reply.status, body);
  return body as T;
}

/** The static export only reads: without the dashboard's server nobody is signed in who could change anything. */
export function unlessReadOnly<T>(method: string, target: T): T {
  if (process.env.SKYSCALE_EXPORT !== "1" || method === "GET") return target;
  throw new ApiError({
    status: 403,
    code: "read_only",
    detail: "This is the read-only dashboard.",
    hint: "`pip install 'skyscale[dashboard]'` and `skyscale up` give the one that may change things; the command line always may.",
    request_id: "",
  });
}
