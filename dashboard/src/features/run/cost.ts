/** What runs cost, by list prices, in words. Pure. */

/** The meter of a run; a control plane without one sends none. */
export interface RunCost {
  gpu_s: number;
  cpu_s: number;
  sandbox_s: number;
  tokens: number;
  usd: number;
  usd_per_hour: number;
  max_cost_usd: number | null;
  /** What ran although nobody knows its price: `usd` lacks it. */
  unpriced: string[];
}

/** What a dry run expects of a run. */
export interface CostEstimate {
  usd_per_hour: number | null;
  hours: number | null;
  usd: number | null;
  max_cost_usd: number | null;
  items: { what: string; provider: string; gpu_model: string; count: number; usd_per_hour: number | null }[];
  assumptions: string[];
}

export function meterOf(run: object): RunCost | null {
  return (run as { cost?: RunCost | null }).cost ?? null;
}

export function costOf(run: object): number | null {
  return (run as { cost_usd?: number | null }).cost_usd ?? null;
}

export function estimateOf(created: object | null): CostEstimate | null {
  return (created as { estimate?: CostEstimate | null } | null)?.estimate ?? null;
}

/** What stands under the sum: the rate now, the limit, and what has no price. */
export function meterNote({ usd_per_hour, max_cost_usd, unpriced, gpu_s, cpu_s }: RunCost): string {
  if (unpriced.length > 0) return `no price known for ${unpriced.join(", ")}`;
  const limit = max_cost_usd === null ? "" : `of ${dollars(max_cost_usd)}, `;
  const hours = (gpu_s > 0 ? gpu_s : cpu_s) / 3600;
  const used = `${hours < 10 ? hours.toFixed(2) : Math.round(hours).toLocaleString("en")} ${gpu_s > 0 ? "GPU" : "CPU"} hours`;
  return usd_per_hour > 0 ? `${limit}now ${dollars(usd_per_hour)} per hour` : `${limit}${used}`;
}

/** $0.00, $0.004, $12.40, $1,830. "–" where there is no meter. */
export function dollars(usd: number | null | undefined): string {
  if (usd === null || usd === undefined || Number.isNaN(usd)) return "–";
  const digits = usd === 0 || usd >= 0.995 ? (usd >= 1000 ? 0 : 2) : usd >= 0.095 ? 2 : 3;
  if (usd > 0 && usd < 0.0005) return "< $0.001";
  return `$${usd.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
}
