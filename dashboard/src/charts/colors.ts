"use client";

import { useMemo } from "react";
import { useTheme } from "@/ui/theme";

export interface ChartColors {
  line: string;
  text: string;
  series: string[];
}

export const NUM_COLORS = 8;

/** The colours of the theme that is shown, read from the style sheet. */
export function useChartColors(): ChartColors {
  const theme = useTheme();
  // `theme` is what the style sheet depends on.
  return useMemo(() => read(theme), [theme]);
}

function read(theme: string): ChartColors {
  const fallback = theme === "dark" ? "#888" : "#666";
  const style = typeof document === "undefined" ? null : getComputedStyle(document.documentElement);
  const color = (name: string) => style?.getPropertyValue(name).trim() || fallback;
  return { line: color("--line"), text: color("--faint"), series: Array.from({ length: NUM_COLORS }, (_, i) => color(`--s${i + 1}`)) };
}

/** A `#rrggbb` colour, let through. */
export function faded(color: string, opacity: number): string {
  return color + Math.round(opacity * 255).toString(16).padStart(2, "0");
}
