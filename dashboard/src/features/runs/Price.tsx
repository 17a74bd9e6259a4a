import type { Schemas } from "@/client/api";
import { dollars } from "@/features/run/cost";

type CostEstimate = Schemas["CostEstimate"];

/** What the run is expected to cost by a dry run, and what that rests on. */
export function Price({ estimate }: { estimate: CostEstimate }) {
  const { usd, usd_per_hour, hours, max_cost_usd, items, assumptions } = estimate;
  return (
    <div data-testid="price">
      <p className="num">
        <span className="font-semibold">{headline(estimate)}</span>
        <span className="text-muted">
          {usd_per_hour !== null && usd !== null && `, ${dollars(usd_per_hour)} per hour`}
          {hours !== null && ` for about ${hours < 10 ? Number(hours.toFixed(1)) : Math.round(hours)} h`}
          {max_cost_usd !== null && `; it ends before ${dollars(max_cost_usd)}`}
        </span>
      </p>
      <details className="mt-1 text-xs text-muted">
        <summary className="select-none">How this is reckoned</summary>
        <ul className="num mt-1 flex flex-col gap-0.5">
          {items.map((item) => (
            <li key={`${item.what} ${item.provider}`}>
              {item.count} × {item.what} on {item.provider}, {item.gpu_model}: {item.usd_per_hour === null ? "nobody knows the price" : `${dollars(item.usd_per_hour)} per hour`}
            </li>
          ))}
          {assumptions.map((each) => (
            <li key={each}>{each}</li>
          ))}
        </ul>
      </details>
    </div>
  );
}

function headline({ usd, usd_per_hour, items }: CostEstimate): string {
  if (usd_per_hour === 0) return "Costs nothing by list prices";
  if (usd !== null) return `Costs about ${dollars(usd)}`;
  if (usd_per_hour !== null) return `Costs ${dollars(usd_per_hour)} per hour until you stop it`;
  const unknown = items.filter((item) => item.usd_per_hour === null).map(({ provider, gpu_model }) => `${gpu_model} on ${provider}`);
  return `Nobody knows the price of ${[...new Set(unknown)].join(", ") || "this"}`;
}
