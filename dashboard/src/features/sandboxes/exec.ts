/** Runs a program in a sandbox and hands its output on as it comes. */
import { unlessReadOnly, type Schemas } from "@/client/api";
import { errorOf, unreachable } from "@/client/errors";

export type ExecReply = Schemas["ExecReply"];

interface ExecEvent {
  type: "stdout" | "stderr" | "end" | "error";
  data: string;
  result: ExecReply | null;
}

/** Resolves with how the program ended; throws ApiError when the sandbox refused or broke. */
export async function exec(sandboxId: string, request: Schemas["ExecRequest"], onOutput: (stream: "stdout" | "stderr", text: string) => void, signal: AbortSignal): Promise<ExecReply> {
  const reply = await fetch(unlessReadOnly("POST", `/api/sandboxes/${sandboxId}/exec?stream=true`), {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/x-ndjson" },
    body: JSON.stringify(request),
    signal,
  }).catch((cause: unknown) => Promise.reject(signal.aborted ? (cause as Error) : unreachable(cause)));
  if (!reply.ok || !reply.body) throw errorOf(reply.status, await reply.json().catch(() => null));
  for await (const event of linesOf<ExecEvent>(reply.body)) {
    if (event.type === "end" && event.result) return event.result;
    if (event.type === "error") throw errorOf(500, { status: 500, code: "sandbox_broke", detail: event.data || "The sandbox broke.", hint: "Make a new one.", request_id: "" });
    if (event.type === "stdout" || event.type === "stderr") onOutput(event.type, event.data);
  }
  throw errorOf(502, { status: 502, code: "stream_cut", detail: "The output ended before the program did.", hint: "Look whether the sandbox is still there.", request_id: "" });
}

/** The JSON lines of a stream. */
export async function* linesOf<T>(body: ReadableStream<Uint8Array>): AsyncGenerator<T> {
  const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    const lines = (rest + (value ?? "")).split("\n");
    rest = done ? "" : (lines.pop() ?? "");
    for (const line of lines) if (line.trim()) yield JSON.parse(line) as T;
    if (done) return;
  }
}
