"use client";

import "uplot/dist/uPlot.min.css";
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import { columnsOf, optionsOf, type Look } from "./uplotOptions";
import type { Prepared } from "./prepare";

interface Props {
  prepared: Prepared;
  look: Look;
  height: number;
  label: string;
  /** The index on the grid that the pointer is at, or null. */
  onCursor: (index: number | null) => void;
  onZoom: (range: readonly [number, number] | null) => void;
}

/** Draws what was prepared and decides nothing. Dragging zooms, a double click shows everything again. */
export function LineChart({ prepared, look, height, label, onCursor, onZoom }: Props) {
  const root = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const data = useRef(prepared);
  const handlers = useRef({ onCursor, onZoom });
  useEffect(() => {
    handlers.current = { onCursor, onZoom };
  });
  const count = prepared.series.length;
  const { colors, colorOf, isLog, isSmoothed, xUnit, highlighted } = look;
  const colorKey = colorOf.join();
  useEffect(() => {
    const host = root.current;
    if (!host) return;
    performance.mark("chart-set");
    const options = optionsOf(count, { colors, colorOf: colorKey.split(",").map(Number), isLog, isSmoothed, xUnit, highlighted }, { width: host.clientWidth, height });
    const made = new uPlot({ ...options, hooks: hooksFor(handlers) }, columnsOf(data.current, isLog), host);
    chart.current = made;
    const resized = new ResizeObserver(() => made.setSize({ width: host.clientWidth, height }));
    resized.observe(host);
    return () => {
      resized.disconnect();
      made.destroy();
      chart.current = null;
    };
  }, [count, colors, colorKey, isLog, isSmoothed, xUnit, highlighted, height]);
  useEffect(() => {
    if (data.current === prepared) return;
    data.current = prepared;
    performance.mark("chart-set");
    if (chart.current && chart.current.series.length === 1 + 4 * count) chart.current.setData(columnsOf(prepared, isLog));
  }, [prepared, count, isLog]);
  return <div ref={root} role="img" aria-label={label} style={{ height }} className="w-full" onDoubleClick={() => onZoom(null)} />;
}

type Handlers = { readonly current: Pick<Props, "onCursor" | "onZoom"> };

function hooksFor(handlers: Handlers): uPlot.Hooks.Arrays {
  return {
    draw: [() => performance.measure("chart-draw", "chart-set")],
    setCursor: [(chart) => handlers.current.onCursor(chart.cursor.idx ?? null)],
    setSelect: [
      (chart) => {
        const { left, width } = chart.select;
        if (width < 4) return;
        handlers.current.onZoom([chart.posToVal(left, "x"), chart.posToVal(left + width, "x")]);
        chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      },
    ],
  };
}
