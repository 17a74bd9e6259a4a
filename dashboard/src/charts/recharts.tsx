"use client";

/** The small charts' common look: Recharts in the colours of the theme. Loaded only by pages that have one. */
import { useChartColors } from "./colors";

const FONT_PX = 11;

export function useSmallChartLook() {
  const { line, text, series } = useChartColors();
  return {
    colorAt: (i: number): string => series[i % series.length] ?? text,
    grid: { stroke: line, vertical: false },
    axis: { tick: { fill: text, fontSize: FONT_PX }, tickLine: false, axisLine: { stroke: line } },
    tooltip: {
      contentStyle: { background: "var(--panel)", border: "1px solid var(--line-strong)", borderRadius: 6, fontSize: 12, color: "var(--text)" },
      labelStyle: { color: "var(--muted)" },
      cursor: { fill: "var(--sunken)", stroke: "var(--line-strong)" },
      isAnimationActive: false,
    },
  } as const;
}
