/** A run's metrics as they arrive, in columns that grow; kept outside React, which is told at most twice a second. */
import type { MetricsColumns } from "@/live/topics";
import type { Series } from "./prepare";

export type XAxis = "step" | "hours";

export class History {
  length = 0;
  /** Cursor of the last report: news at or before it is a repetition. */
  after = 0;
  private capacity = 256;
  private step = new Float64Array(this.capacity);
  private time = new Float64Array(this.capacity);
  private readonly columns = new Map<string, Float64Array>();

  /** Take in new reports; false when there were none. */
  append(news: MetricsColumns): boolean {
    if (news.step.length === 0 || news.after <= this.after) return false;
    this.reserve(this.length + news.step.length);
    this.step.set(news.step, this.length);
    this.time.set(news.timestamp, this.length);
    for (const [name, values] of Object.entries(news.series)) {
      const column = this.column(name);
      values.forEach((value, i) => (column[this.length + i] = value ?? NaN));
    }
    this.length += news.step.length;
    this.after = news.after;
    return true;
  }

  /** Names of everything that was ever reported with a number. */
  names(): string[] {
    return [...this.columns].filter(([, column]) => column.subarray(0, this.length).some((value) => !Number.isNaN(value))).map(([name]) => name).sort();
  }

  series(name: string, axis: XAxis, label = name): Series {
    const ys = this.columns.get(name)?.subarray(0, this.length) ?? new Float64Array(this.length).fill(NaN);
    return { label, xs: axis === "step" ? this.step.subarray(0, this.length) : this.hours(), ys };
  }

  /** The newest number of a metric, or null. */
  last(name: string): number | null {
    const column = this.columns.get(name);
    for (let i = this.length - 1; column && i >= 0; i--) if (!Number.isNaN(column[i] as number)) return column[i] as number;
    return null;
  }

  private hours(): Float64Array {
    const start = this.time[0] ?? 0;
    return this.time.subarray(0, this.length).map((ms) => (ms - start) / 3_600_000);
  }

  private column(name: string): Float64Array {
    const known = this.columns.get(name);
    if (known) return known;
    const column = new Float64Array(this.capacity).fill(NaN);
    this.columns.set(name, column);
    return column;
  }

  private reserve(length: number): void {
    if (length <= this.capacity) return;
    while (this.capacity < length) this.capacity *= 2;
    this.step = grown(this.step, this.capacity);
    this.time = grown(this.time, this.capacity);
    for (const [name, column] of this.columns) this.columns.set(name, grown(column, this.capacity));
  }
}

function grown(values: Float64Array, capacity: number): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(capacity).fill(NaN);
  larger.set(values);
  return larger;
}
