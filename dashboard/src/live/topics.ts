/**
 * What a page can follow, and how each is read. The same code runs in the dashboard's server, which streams, and in the
 * browser, which polls when it cannot have a stream.
 *
 *   runs            the list of runs             sent when it changed
 *   run:<id>        a run without its metrics    sent when it changed
 *   metrics:<id>    columns of new reports       cursor: id of the last report
 *   events:<id>     new events                   cursor: seq of the last event
 *   jobs, sandboxes the newest of them           sent when they changed
 *
 * A cursor is a small string; whoever shows it gets what came after it, so a stream can be resumed by anybody.
 */
import type { components } from "@/client/schema";

type Schemas = components["schemas"];

export interface MetricsColumns {
  run_id: string;
  after: number;
  step: number[];
  timestamp: number[];
  series: Record<string, (number | null)[]>;
}

export interface TopicData {
  runs: Schemas["RunPage"];
  run: Schemas["RunView"];
  metrics: MetricsColumns;
  events: Schemas["EventPage"];
  jobs: Schemas["JobPage"];
  sandboxes: Schemas["SandboxPage"];
}

export type TopicKind = keyof TopicData;
export type Topic = "runs" | "jobs" | "sandboxes" | `run:${string}` | `metrics:${string}` | `events:${string}`;

export interface Message<K extends TopicKind = TopicKind> {
  topic: Topic;
  cursor: string;
  data: TopicData[K];
}

/** Reads a path of the control plane as JSON; throws for every reply that is not a success. */
export type Reader = (path: string) => Promise<unknown>;

const TOPIC = /^(?:runs|jobs|sandboxes|(?:run|metrics|events):[A-Za-z0-9_.-]{1,60})$/;
/** More at once than any page needs; a bound, because each costs a call a second. */
export const MAX_TOPICS = 24;
const PAGE = 1000;

export function isTopic(text: string): text is Topic {
  return TOPIC.test(text);
}

export function kindOf(topic: Topic): TopicKind {
  return topic.split(":", 1)[0] as TopicKind;
}

/** What is new on a topic since `cursor`, or null. */
export async function readTopic(topic: Topic, cursor: string, read: Reader): Promise<Message | null> {
  const [kind, id = ""] = topic.split(":") as [TopicKind, string?];
  const run = `/api/rl/runs/${encodeURIComponent(id)}`;
  if (kind === "events") return newEvents(topic, cursor, (await read(`${run}/events?limit=${PAGE}&after=${cursor || 0}`)) as TopicData["events"]);
  if (kind === "metrics") return newMetrics(topic, (await read(`${run}/metrics?limit=${PAGE * 10}&after=${cursor || 0}`)) as MetricsColumns);
  const path = { run, runs: "/api/rl/runs?limit=200", jobs: "/api/training/jobs?limit=100", sandboxes: "/api/sandboxes?limit=100" }[kind];
  return changed(topic, cursor, (await read(path)) as TopicData["runs"]);
}

function newEvents(topic: Topic, cursor: string, page: TopicData["events"]): Message | null {
  const last = page.events.at(-1);
  return last ? { topic, cursor: String(last.seq), data: page } : cursor === "" ? { topic, cursor: "0", data: page } : null;
}

function newMetrics(topic: Topic, columns: MetricsColumns): Message | null {
  return columns.step.length > 0 ? { topic, cursor: String(columns.after), data: columns } : null;
}

function changed(topic: Topic, cursor: string, data: TopicData["runs"]): Message | null {
  const mark = fingerprint(JSON.stringify(data, (key, value: unknown) => (key === "metrics" && Array.isArray(value) ? [] : value)));
  return mark === cursor ? null : { topic, cursor: mark, data };
}

/** FNV-1a, 32 bits: enough to see that a text changed. */
function fingerprint(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(36);
}
