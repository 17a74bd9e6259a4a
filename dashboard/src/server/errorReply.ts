/** A reply in the one error shape of the API. */
export function errorReply(status: number, code: string, detail: string, hint: string): Response {
  const body = JSON.stringify({ status, code, detail, hint, request_id: "" });
  return new Response(body, { status, headers: { "content-type": "application/problem+json", "cache-control": "no-store" } });
}
