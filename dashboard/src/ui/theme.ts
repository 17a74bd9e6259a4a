"use client";

import { useSyncExternalStore } from "react";

export type Theme = "light" | "dark";
export type ThemeChoice = Theme | "system";

const KEY = "skyscale-theme";

/** The theme that is shown now; `public/theme.js` set it before the first paint. */
export function useTheme(): Theme {
  return useSyncExternalStore(subscribe, current, () => "light");
}

/** What was chosen, wherever it is changed; null on the server. */
export function useThemeChoice(): ThemeChoice | null {
  return useSyncExternalStore(subscribe, themeChoice, () => null);
}

/** Show a theme from now on; `system` follows the system again. */
export function chooseTheme(choice: ThemeChoice): void {
  if (choice === "system") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, choice);
  const isDark = choice === "system" ? matchMedia("(prefers-color-scheme: dark)").matches : choice === "dark";
  document.documentElement.dataset.theme = isDark ? "dark" : "light";
}

function themeChoice(): ThemeChoice {
  const kept = localStorage.getItem(KEY);
  return kept === "dark" || kept === "light" ? kept : "system";
}

export function toggleTheme(): void {
  chooseTheme(current() === "dark" ? "light" : "dark");
}

function current(): Theme {
  return document.documentElement.dataset.theme === "dark" ? "dark" : "light";
}

function subscribe(onChange: () => void): () => void {
  const observer = new MutationObserver(onChange);
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  return () => observer.disconnect();
}
