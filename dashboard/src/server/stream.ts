/**
 * `GET /api/stream?topics=a,b&cursors=...`: everything a tab follows in one server-sent stream, since browsers allow
 * six connections per host. The id of each message holds the cursors of all topics, so any server can resume the stream.
 *
 * Events: `message` (a topic's news), `status` (`ok`, or the error a topic gave). Nothing is kept between calls.
 */
import { isTopic, readTopic, MAX_TOPICS, type Message, type Reader, type Topic } from "@/live/topics";
import { decodeCursors, encodeCursors, type Cursors } from "@/live/cursors";
import { read } from "./proxy";

const EVERY_MS = 1_000;
const KEEP_ALIVE_MS = 15_000;
/** A read that takes longer is given up, so that one topic cannot silence the others. */
const READ_MS = 10_000;

export async function stream(request: Request): Promise<Response> {
  const query = new URL(request.url).searchParams;
  const topics = [...new Set((query.get("topics") ?? "").split(","))].filter(isTopic).slice(0, MAX_TOPICS);
  const cursors = decodeCursors(request.headers.get("last-event-id") ?? query.get("cursors") ?? "");
  // Asked before the stream begins, so that a caller who may not read gets the refusal as an ordinary reply.
  const first = await read(request, "/health");
  if (first.status === 401 || first.status === 403) return first;
  await first.body?.cancel();
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => void follow(request, topics, cursors, controller).catch(() => undefined),
  });
  return new Response(body, {
    headers: { "content-type": "text/event-stream", "cache-control": "no-store, no-transform", "x-accel-buffering": "no" },
  });
}

async function follow(request: Request, topics: Topic[], cursors: Cursors, out: ReadableStreamDefaultController<Uint8Array>) {
  const say = speaker(out);
  const reader = readerFor(request);
  let spokenAt = Date.now();
  let status = "";
  say("retry: 1000\n\n");
  while (!request.signal.aborted) {
    const results = await Promise.allSettled(topics.map((topic) => readTopic(topic, cursors[topic] ?? "", reader)));
    for (const result of results) {
      if (result.status !== "fulfilled" || result.value === null) continue;
      cursors[result.value.topic] = result.value.cursor;
      say(frame("message", result.value, encodeCursors(cursors)));
      spokenAt = Date.now();
    }
    const now = statusOf(topics, results);
    if (now !== status) say(frame("status", JSON.parse(now), null));
    else if (Date.now() - spokenAt > KEEP_ALIVE_MS) say(": still here\n\n");
    else {
      await pause(EVERY_MS, request.signal);
      continue;
    }
    [status, spokenAt] = [now, Date.now()];
    await pause(EVERY_MS, request.signal);
  }
  out.close();
}

function statusOf(topics: Topic[], results: PromiseSettledResult<Message | null>[]): string {
  const errors: Record<string, unknown> = {};
  results.forEach((result, i) => {
    if (result.status === "rejected") errors[topics[i] ?? ""] = result.reason instanceof ReadError ? result.reason.problem : { status: 0, code: "unreadable_reply" };
  });
  return JSON.stringify({ errors });
}

class ReadError extends Error {
  constructor(readonly problem: unknown) {
    super("a read was refused");
  }
}

function readerFor(request: Request): Reader {
  return async (path) => {
    const reply = await read(request, path, AbortSignal.any([request.signal, AbortSignal.timeout(READ_MS)]));
    const body: unknown = await reply.json();
    if (!reply.ok) throw new ReadError(body);
    return body;
  };
}

function frame(event: string, data: unknown, id: string | null): string {
  return `${id === null ? "" : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}

function speaker(out: ReadableStreamDefaultController<Uint8Array>): (text: string) => void {
  const encoder = new TextEncoder();
  return (text) => out.enqueue(encoder.encode(text));
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
    function done() {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
  });
}
