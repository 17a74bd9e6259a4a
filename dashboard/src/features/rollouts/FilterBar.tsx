"use client";

import { Button } from "@/ui/Button";
import { INPUT } from "@/ui/Field";
import { words } from "@/ui/format";
import { Icon } from "@/ui/Icon";
import { SearchInput } from "@/ui/SearchInput";
import { OUTCOMES, PURPOSES, queryOf, STATES, type RolloutFilter } from "./filter";

interface Props {
  runId: string;
  filter: RolloutFilter;
  onChange: (change: Partial<RolloutFilter>) => void;
  isBusy: boolean;
  onRefresh: () => void;
}

export function FilterBar({ runId, filter, onChange, isBusy, onRefresh }: Props) {
  const query = new URLSearchParams(Object.entries(queryOf(filter)).map(([name, value]) => [name, String(value)]));
  return (
    <div className="flex flex-wrap items-center gap-2">
      <SearchInput value={filter.text} onChange={(text) => onChange({ text })} label="Search what was written" className="sm:w-44! sm:flex-1" />
      <input aria-label="Problem" placeholder="problem" className={`${INPUT} w-24!`} value={filter.problem} onChange={(event) => onChange({ problem: event.target.value })} />
      <Choice label="purpose" options={PURPOSES} value={filter.purpose} onChange={(purpose) => onChange({ purpose })} />
      <Choice label="state" options={STATES} value={filter.state} onChange={(state) => onChange({ state })} />
      <Choice label="outcome" options={OUTCOMES} value={filter.outcome} onChange={(outcome) => onChange({ outcome })} />
      <Range label="version" from={filter.min_version} to={filter.max_version} onChange={(min_version, max_version) => onChange({ min_version, max_version })} />
      <Range label="reward" from={filter.min_reward} to={filter.max_reward} onChange={(min_reward, max_reward) => onChange({ min_reward, max_reward })} />
      <Button isBusy={isBusy} onClick={onRefresh}>
        Refresh
      </Button>
      <a className="ml-auto inline-flex items-center gap-1.5 text-muted hover:text-text hover:underline" href={`/api/rl/runs/${encodeURIComponent(runId)}/rollouts.parquet?${query}`} download>
        <Icon name="download" size={14} /> Parquet
      </a>
    </div>
  );
}

function Choice({ label, options, value, onChange }: { label: string; options: readonly string[]; value: string; onChange: (value: string) => void }) {
  return (
    <select aria-label={label} className={`${INPUT} w-auto! max-w-32`} value={value} onChange={(event) => onChange(event.target.value)}>
      <option value="">any {label}</option>
      {options.map((option) => (
        <option key={option} value={option}>
          {words(option)}
        </option>
      ))}
    </select>
  );
}

function Range({ label, from, to, onChange }: { label: string; from: string; to: string; onChange: (from: string, to: string) => void }) {
  const bound = (name: string, value: string, change: (value: string) => void) => (
    <input aria-label={`${label} ${name}`} placeholder={name} inputMode="decimal" className={`${INPUT} w-12! px-1.5!`} value={value} onChange={(event) => change(event.target.value)} />
  );
  return (
    <span className="flex items-center gap-1 text-muted">
      {label} {bound("from", from, (value) => onChange(value, to))} {bound("to", to, (value) => onChange(from, value))}
    </span>
  );
}
