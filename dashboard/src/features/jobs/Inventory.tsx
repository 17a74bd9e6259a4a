"use client";

import { useQuery } from "@tanstack/react-query";
import { readJson } from "@/client/api";
import { ApiError } from "@/client/errors";
import { number, words } from "@/ui/format";
import { ErrorState, Loading } from "@/ui/states";

type Offer = Record<string, unknown>;

/** What providers offer, as they tell it. A control plane without an inventory says so. */
export function Inventory() {
  const { data, error, refetch } = useQuery({ queryKey: ["gpus"], queryFn: () => readJson<Record<string, unknown>>("/api/gpus"), refetchInterval: 60_000 });
  if (error instanceof ApiError && error.status === 404)
    return <p className="panel px-4 py-3 text-muted">This control plane keeps no inventory of GPUs yet. Jobs run on the local provider, or on one that is configured.</p>;
  if (error) return <ErrorState error={error} onRetry={() => void refetch()} />;
  if (!data) return <Loading rows={2} />;
  const offers = Object.values(data).find((value): value is Offer[] => Array.isArray(value)) ?? [];
  if (offers.length === 0) return <p className="panel px-4 py-3 text-muted">No provider offers a GPU now.</p>;
  return <Offers offers={offers} />;
}

function Offers({ offers }: { offers: Offer[] }) {
  const columns = [...new Set(offers.flatMap((offer) => Object.entries(offer).filter(([, value]) => typeof value !== "object").map(([name]) => name)))];
  return (
    <section className="panel max-h-[40dvh] overflow-auto" aria-label="Inventory" tabIndex={0}>
      <table className="table">
        <thead>
          <tr>
            {columns.map((name) => (
              <th key={name} className="capitalize">{words(name)}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {offers.map((offer, i) => (
            <tr key={i}>
              {columns.map((name) => (
                <td key={name} className="num">{textOf(offer[name])}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function textOf(value: unknown): string {
  if (typeof value === "number") return number(value);
  return value === null || value === undefined || typeof value === "object" ? "–" : String(value);
}
