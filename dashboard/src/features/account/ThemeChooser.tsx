"use client";

import { chooseTheme, useThemeChoice, type ThemeChoice } from "@/ui/theme";
import { Section } from "./Section";

const CHOICES: { value: ThemeChoice; label: string }[] = [
  { value: "system", label: "As the system" },
  { value: "light", label: "Light" },
  { value: "dark", label: "Dark" },
];

export function ThemeChooser() {
  const choice = useThemeChoice();
  return (
    <Section title="Theme" about="Kept in this browser.">
      <div role="radiogroup" aria-label="Theme" className="flex flex-wrap gap-4">
        {CHOICES.map(({ value, label }) => (
          <label key={value} className="flex items-center gap-2">
            <input type="radio" name="theme" className="accent-(--accent)" checked={choice === value} onChange={() => chooseTheme(value)} />
            {label}
          </label>
        ))}
      </div>
    </Section>
  );
}
