"use client";

import { startTransition, useEffect, useRef, useState, useSyncExternalStore } from "react";
import type { ApiError } from "@/client/errors";
import { useConnection } from "./LiveProvider";
import type { Topic, TopicData, TopicKind } from "./topics";

type KindOf<T extends Topic> = T extends `${infer K}:${string}` ? K : T;
type DataOf<T extends Topic> = KindOf<T> extends TopicKind ? TopicData[KindOf<T>] : never;

/** The newest state of a topic that is sent whole (`runs`, `run:<id>`, `jobs`, `sandboxes`), and its error. */
export function useTopic<T extends Topic>(topic: T): { data: DataOf<T> | null; error: ApiError | null } {
  const [kept, setKept] = useState<{ topic: T; data: DataOf<T> } | null>(null);
  useMessages(topic, (data) => startTransition(() => setKept({ topic, data })));
  return { data: kept?.topic === topic ? kept.data : null, error: useTopicError(topic) };
}

/** Call `listener` with everything new on `topic`; null follows nothing. */
export function useMessages<T extends Topic>(topic: T | null, listener: (data: DataOf<T>) => void): void {
  const connection = useConnection();
  const newest = useRef(listener);
  useEffect(() => {
    newest.current = listener;
  });
  useEffect(() => (topic === null ? undefined : connection.follow(topic, (message) => newest.current(message.data as DataOf<T>))), [connection, topic]);
}

/** What the last read of a topic was refused with, or null. */
export function useTopicError(topic: Topic): ApiError | null {
  const connection = useConnection();
  return useSyncExternalStore(
    (onChange) => connection.watch(onChange),
    () => connection.errors[topic] ?? null,
    () => null,
  );
}
