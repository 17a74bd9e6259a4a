"use client";

import { Icon } from "@/ui/Icon";
import { toggleTheme, useTheme } from "@/ui/theme";

export function ThemeButton() {
  const theme = useTheme();
  const other = theme === "dark" ? "light" : "dark";
  return (
    <button type="button" className="rounded-md p-2 text-muted hover:bg-sunken hover:text-text" aria-label={`Use the ${other} theme`} onClick={toggleTheme}>
      <Icon name={theme === "dark" ? "sun" : "moon"} />
    </button>
  );
}
