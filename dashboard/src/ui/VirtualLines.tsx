"use client";

import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, useState, type ReactNode } from "react";

interface Props<T> {
  label: string;
  lines: readonly T[];
  keyOf: (line: T, index: number) => number | string;
  render: (line: T) => ReactNode;
  height?: string;
}

/** A long list that follows its end until the reader scrolls up; only what is seen is in the page. */
export function VirtualLines<T>({ label, lines, keyOf, render, height = "min(62dvh, 640px)" }: Props<T>) {
  const scroller = useRef<HTMLDivElement>(null);
  const [isFollowing, setFollowing] = useState(true);
  // Its functions must not be memoised; the list is drawn anew whenever it scrolls.
  // eslint-disable-next-line react-hooks/incompatible-library
  const list = useVirtualizer({ count: lines.length, getScrollElement: () => scroller.current, estimateSize: () => 24, overscan: 20, getItemKey: (index) => keyOf(lines[index] as T, index) });
  useEffect(() => {
    if (isFollowing && lines.length > 0) list.scrollToIndex(lines.length - 1, { align: "end" });
  }, [isFollowing, lines.length, list]);
  const onScroll = () => {
    const box = scroller.current;
    if (box) setFollowing(box.scrollHeight - box.scrollTop - box.clientHeight < 40);
  };
  return (
    <div className="relative">
      <div ref={scroller} role="log" aria-label={label} aria-live="off" tabIndex={0} onScroll={onScroll} className="overflow-auto py-1" style={{ height }}>
        <div className="relative w-full" style={{ height: list.getTotalSize() }}>
          {list.getVirtualItems().map((item) => (
            <div key={item.key} ref={list.measureElement} data-index={item.index} className="absolute inset-x-0 top-0" style={{ transform: `translateY(${item.start}px)` }}>
              {render(lines[item.index] as T)}
            </div>
          ))}
        </div>
      </div>
      {!isFollowing && (
        <button type="button" onClick={() => setFollowing(true)} className="absolute right-4 bottom-3 rounded-full border border-line-strong bg-panel px-3 py-1 text-xs shadow-md hover:bg-sunken">
          Jump to the newest
        </button>
      )}
    </div>
  );
}
