/** What runs cost, by list prices, in words. Pure. */
import type { Schemas } from "@/client/api";

type RunCost = Schemas["RunCost"];

/** What stands under the sum: the rate now, the limit, and what has no price. */
export function meterNote({ usd_per_hour, max_cost_usd, unpriced, gpu_s, cpu_s }: RunCost): string {
  if (unpriced.length > 0) return `no price known for ${unpriced.join(", ")}`;
  const limit = max_cost_usd === null ? "" : `of ${dollars(max_cost_usd)}, `;
  const hours = (gpu_s > 0 ? gpu_s : cpu_s) / 3600;
  const used = `${hours < 10 ? hours.toFixed(2) : Math.round(hours).toLocaleString("en")} ${gpu_s > 0 ? "GPU" : "CPU"} hours`;
  return usd_per_hour > 0 ? `${limit}now ${dollars(usd_per_hour)} per hour` : `${limit}${used}`;
}

/** "$0.42 of $5.00, now $2.50 per hour". */
export function costNote({ usd, usd_per_hour, max_cost_usd, unpriced = [] }: { usd: number; usd_per_hour: number; max_cost_usd: number | null; unpriced?: readonly string[] }): string {
  if (unpriced.length > 0) return `no price known for ${unpriced.join(", ")}`;
  return `${dollars(usd)}${max_cost_usd === null ? "" : ` of ${dollars(max_cost_usd)}`}${usd_per_hour > 0 ? `, now ${dollars(usd_per_hour)} per hour` : ""}`;
}

/** $0.00, $0.004, $12.40, $1,830. "–" where there is no meter. */
export function dollars(usd: number | null | undefined): string {
  if (usd === null || usd === undefined || Number.isNaN(usd)) return "–";
  const digits = usd === 0 || usd >= 0.995 ? (usd >= 1000 ? 0 : 2) : usd >= 0.095 ? 2 : 3;
  if (usd > 0 && usd < 0.0005) return "< $0.001";
  return `$${usd.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
}
