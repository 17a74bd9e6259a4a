/** Sends a JSONL file and hands on how far it is: bytes read, then solutions judged. */
import type { Schemas } from "@/client/api";
import { errorOf, unreachable } from "@/client/errors";
import { linesOf } from "@/features/sandboxes/exec";

export interface UploadOptions {
  name: string;
  isDryRun: boolean;
}

type Progress = (text: string) => void;

interface UploadEvent {
  type: "progress" | "done" | "error";
  phase: string;
  done: number;
  total: number;
  result: Schemas["ProblemSetUploaded"] | null;
  error: Schemas["ProblemDetails"] | null;
}

/** Throws ApiError, whose text names each line that is wrong. */
export async function upload(file: File, { name, isDryRun }: UploadOptions, onProgress: Progress): Promise<Schemas["ProblemSetUploaded"]> {
  const query = new URLSearchParams({ name, ...(isDryRun ? { dry_run: "true" } : {}) });
  const init = { method: "POST", headers: { "content-type": "application/jsonl", accept: "application/x-ndjson" }, body: file };
  const reply = await fetch(`/api/rl/problem-sets?${query}`, init).catch((cause: unknown) => Promise.reject(unreachable(cause)));
  if (!reply.ok || !reply.body) throw errorOf(reply.status, await reply.json().catch(() => null));
  for await (const event of linesOf<UploadEvent>(reply.body)) {
    if (event.type === "error" && event.error) throw errorOf(event.error.status, event.error);
    if (event.type === "done" && event.result) return event.result;
    onProgress(event.phase === "solutions" ? `judging solutions: ${event.done} of ${event.total}` : "reading");
  }
  throw errorOf(502, null);
}
