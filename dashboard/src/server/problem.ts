/** The one error shape of this product, for replies that the dashboard's server gives itself. */
export function problem(status: number, code: string, detail: string, hint: string, headers: Record<string, string> = {}): Response {
  const body = JSON.stringify({ status, code, detail, hint, request_id: "" });
  return new Response(body, { status, headers: { "content-type": "application/problem+json", "cache-control": "no-store", ...headers } });
}

/** A refusal that a server function throws; `answering` turns it into its reply. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly hint: string,
  ) {
    super(detail);
  }

  reply(): Response {
    return problem(this.status, this.code, this.message, this.hint);
  }
}

/** The reply of `work`, its refusal, or a plain 500 that names no internals: those go to the log. */
export async function answering(work: () => Promise<Response>): Promise<Response> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Refusal) return error.reply();
    console.error(error);
    return problem(500, "accounts_failed", "The dashboard's server could not do this.", "Its log says why; the database of accounts may be down.");
  }
}
