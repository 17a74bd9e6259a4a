import type { components } from "./schema";

type ProblemDetails = components["schemas"]["ProblemDetails"];

/** A call that was answered with an error, or not at all (`status` 0). */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string;
  readonly requestId: string;

  constructor(problem: ProblemDetails) {
    super(problem.detail);
    this.name = "ApiError";
    this.status = problem.status;
    this.code = problem.code;
    this.hint = problem.hint;
    this.requestId = problem.request_id;
  }
}

/** The error of a reply whose body may be anything. */
export function errorOf(status: number, body: unknown): ApiError {
  if (isProblem(body)) return new ApiError({ ...body, status });
  return new ApiError({
    status,
    code: "unreadable_reply",
    detail: `The server answered ${status} with something this page cannot read.`,
    hint: "Something between this page and the control plane may have answered in its place.",
    request_id: "",
  });
}

/** The error of a call that no server answered. */
export function unreachable(cause: unknown): ApiError {
  if (cause instanceof ApiError) return cause;
  return new ApiError({
    status: 0,
    code: "offline",
    detail: "The dashboard's server does not answer.",
    hint: "Check your network and that `skyscale up` is running. The page goes on by itself.",
    request_id: "",
  });
}

function isProblem(body: unknown): body is ProblemDetails {
  return typeof body === "object" && body !== null && "detail" in body && "code" in body && typeof body.detail === "string";
}
