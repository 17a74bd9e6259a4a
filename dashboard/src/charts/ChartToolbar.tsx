"use client";

import { Button } from "@/ui/Button";
import type { ViewSettings } from "./viewSettings";

interface Props {
  view: ViewSettings;
  onChange: (change: Partial<ViewSettings>) => void;
  isZoomed: boolean;
  onReset: () => void;
}

export function ChartToolbar({ view, onChange, isZoomed, onReset }: Props) {
  const { smoothing } = view;
  return (
    <div className="flex flex-wrap items-center gap-x-4 gap-y-2 text-muted">
      <label className="flex items-center gap-2">
        Smoothing
        <input type="range" min={0} max={0.99} step={0.01} value={smoothing.amount} onChange={(event) => onChange({ smoothing: { ...smoothing, amount: Number(event.target.value) } })} className="w-24 accent-(--accent)" />
        <span className="num w-7 text-text">{smoothing.amount.toFixed(2)}</span>
      </label>
      <Choice label="Kind of smoothing" value={smoothing.kind} options={[["ema", "EMA"], ["gaussian", "Centred"]]} onChange={(kind) => onChange({ smoothing: { ...smoothing, kind } })} />
      <Choice label="X axis" value={view.axis} options={[["step", "Step"], ["hours", "Time"]]} onChange={(axis) => onChange({ axis })} />
      <Choice label="Y axis" value={view.isLog ? "log" : "linear"} options={[["linear", "Linear"], ["log", "Log"]]} onChange={(scale) => onChange({ isLog: scale === "log" })} />
      {isZoomed && <Button onClick={onReset}>Show everything</Button>}
    </div>
  );
}

interface ChoiceProps<T extends string> {
  label: string;
  value: T;
  options: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
}

/** One of two or three, side by side. */
function Choice<T extends string>({ label, value, options, onChange }: ChoiceProps<T>) {
  return (
    <div role="group" aria-label={label} className="flex rounded-md border border-line-strong bg-panel p-px">
      {options.map(([id, text]) => (
        <button key={id} type="button" aria-pressed={id === value} onClick={() => onChange(id)} className={`h-6 rounded-[5px] px-2 text-xs ${id === value ? "bg-sunken font-medium text-text" : "hover:text-text"}`}>
          {text}
        </button>
      ))}
    </div>
  );
}
