"use client";

import "uplot/dist/uPlot.min.css";
import { useEffect, useRef } from "react";
import { Drawing, type Handlers } from "./drawing";
import type { Prepared } from "./prepare";
import type { Look } from "./uplotOptions";

interface Props extends Handlers {
  prepared: Prepared;
  look: Look;
  highlighted: number | null;
  height: number;
  label: string;
}

/** Draws what was prepared and decides nothing. Dragging zooms, a double click shows everything again. */
export function LineChart({ prepared, look, highlighted, height, label, onCursor, onZoom }: Props) {
  const root = useRef<HTMLDivElement>(null);
  const drawing = useRef<Drawing | null>(null);
  const handlers = useRef({ onCursor, onZoom });
  useEffect(() => {
    handlers.current = { onCursor, onZoom };
  });
  useEffect(() => {
    if (!root.current) return;
    const made = new Drawing(root.current, height, handlers);
    drawing.current = made;
    return () => made.end();
  }, [height]);
  useEffect(() => drawing.current?.show(prepared, look), [prepared, look, height]);
  useEffect(() => drawing.current?.highlight(highlighted), [highlighted, height]);
  return <div ref={root} role="img" aria-label={label} style={{ height }} className="w-full" onDoubleClick={() => onZoom(null)} />;
}
