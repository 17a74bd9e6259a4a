/**
 * The one live connection of a tab: a stream of server-sent events, or polling when there is no stream to be had.
 *
 *   connecting -> live <-> retrying      the browser reconnects by itself and shows the last id
 *        `-> polling                     no stream after a few tries: the static pages, or a proxy that buffers
 *   down                                 the dashboard answers and the control plane behind it does not
 *
 * When what is followed changes, the stream is opened anew from the same cursors; nothing is read twice.
 */
import { errorOf, unreachable, type ApiError } from "@/client/errors";
import { decodeCursors, encodeCursors, type Cursors } from "./cursors";
import { readTopic, type Message, type Topic } from "./topics";

export type LinkState = "idle" | "connecting" | "live" | "retrying" | "polling" | "down";
type Listener = (message: Message) => void;

const POLL_MS = 2_000;
const TRIES_BEFORE_POLLING = 4;

export class Connection {
  state: LinkState = "idle";
  /** Errors of single topics, for example a run that does not exist. */
  errors: Record<string, ApiError> = {};
  private readonly listeners = new Map<Topic, Set<Listener>>();
  private readonly watchers = new Set<() => void>();
  private cursors: Cursors = {};
  private source: EventSource | null = null;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private failures = 0;
  private isPlanned = false;

  /** Call `listener` with everything new on `topic`, from its start, until the returned function is called. */
  follow(topic: Topic, listener: Listener): () => void {
    const known = this.listeners.get(topic) ?? new Set();
    // A second follower must see everything too, and messages are not kept: read the topic again.
    delete this.cursors[topic];
    this.listeners.set(topic, known.add(listener));
    this.plan();
    return () => {
      known.delete(listener);
      if (known.size > 0) return;
      this.listeners.delete(topic);
      delete this.cursors[topic];
      delete this.errors[topic];
      this.plan();
    };
  }

  /** Call `watcher` whenever `state` or `errors` change. */
  watch(watcher: () => void): () => void {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  close(): void {
    this.source?.close();
    this.source = null;
    if (this.timer) clearTimeout(this.timer);
    this.timer = null;
  }

  /** Several components mount at once: the stream is opened once for all of them. */
  private plan(): void {
    if (this.isPlanned) return;
    this.isPlanned = true;
    queueMicrotask(() => {
      this.isPlanned = false;
      this.open();
    });
  }

  private open(): void {
    this.close();
    if (this.listeners.size === 0) return this.set("idle");
    if (this.failures >= TRIES_BEFORE_POLLING || typeof EventSource === "undefined") return void this.poll();
    const topics = [...this.listeners.keys()].sort();
    const cursors = Object.fromEntries(topics.filter((topic) => this.cursors[topic]).map((topic) => [topic, this.cursors[topic] ?? ""]));
    const query = new URLSearchParams({ topics: topics.join(","), cursors: encodeCursors(cursors) });
    const source = new EventSource(`/api/stream?${query}`);
    this.source = source;
    if (this.state !== "live") this.set(this.failures > 0 ? "retrying" : "connecting");
    source.onmessage = (event: MessageEvent<string>) => this.received(event);
    source.addEventListener("status", (event: MessageEvent<string>) => this.reported(event));
    source.onerror = () => this.lost(source);
  }

  private received(event: MessageEvent<string>): void {
    Object.assign(this.cursors, pick(decodeCursors(event.lastEventId), this.listeners));
    this.deliver(JSON.parse(event.data) as Message);
  }

  private reported(event: MessageEvent<string>): void {
    const { errors } = JSON.parse(event.data) as { errors: Record<string, unknown> };
    this.failures = 0;
    this.errors = Object.fromEntries(Object.entries(errors).map(([topic, problem]) => [topic, errorOf(statusIn(problem), problem)]));
    this.set(this.isDown() ? "down" : "live");
  }

  private isDown(): boolean {
    const errors = Object.values(this.errors);
    return errors.length > 0 && errors.every(({ code }) => code === "control_plane_unreachable");
  }

  private lost(source: EventSource): void {
    if (source !== this.source) return;
    this.failures += 1;
    this.set("retrying");
    // A refused stream is closed for good by the browser; a broken one is opened again by it.
    if (source.readyState !== EventSource.CLOSED && this.failures < TRIES_BEFORE_POLLING) return;
    source.close();
    this.timer = setTimeout(() => this.open(), Math.min(1_000 * this.failures, 4_000));
  }

  private async poll(): Promise<void> {
    const topics = [...this.listeners.keys()];
    const results = await Promise.allSettled(topics.map((topic) => readTopic(topic, this.cursors[topic] ?? "", readHere)));
    const errors: Record<string, ApiError> = {};
    results.forEach((result, i) => {
      const topic = topics[i];
      if (!topic || !this.listeners.has(topic)) return;
      if (result.status === "rejected") errors[topic] = unreachable(result.reason);
      else if (result.value) {
        this.cursors[topic] = result.value.cursor;
        this.deliver(result.value);
      }
    });
    this.errors = errors;
    const isLost = results.every((result) => result.status === "rejected");
    this.set(this.isDown() ? "down" : isLost ? "retrying" : "polling");
    if (this.source === null && this.listeners.size > 0) this.timer = setTimeout(() => this.retry(), document.hidden ? POLL_MS * 10 : POLL_MS);
  }

  /** Every tenth poll tries the stream again. */
  private retry(): void {
    this.failures = this.failures >= TRIES_BEFORE_POLLING + 10 ? TRIES_BEFORE_POLLING - 1 : this.failures + 1;
    this.open();
  }

  private deliver(message: Message): void {
    for (const listener of this.listeners.get(message.topic) ?? []) listener(message);
  }

  private set(state: LinkState): void {
    this.state = state;
    for (const watcher of this.watchers) watcher();
  }
}

async function readHere(path: string): Promise<unknown> {
  const reply = await fetch(path, { headers: { accept: "application/json" }, signal: AbortSignal.timeout(10_000) });
  const body: unknown = await reply.json().catch(() => null);
  if (!reply.ok) throw errorOf(reply.status, body);
  return body;
}

function pick(cursors: Cursors, listeners: ReadonlyMap<string, unknown>): Cursors {
  return Object.fromEntries(Object.entries(cursors).filter(([topic]) => listeners.has(topic)));
}

function statusIn(problem: unknown): number {
  return typeof problem === "object" && problem !== null && "status" in problem ? Number(problem.status) : 0;
}
