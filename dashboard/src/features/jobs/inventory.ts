/** What providers have, in the order in which a job would be offered to them. Pure. */

import type { Schemas } from "@/client/api";

export type Offer = Schemas["GpuOffer"];
export type Provider = Schemas["ProviderState"];
export type Inventory = Pick<Schemas["GpuInventory"], "offers" | "providers">;

/** Those that a job of one's own can be sent to. One that is set up and lacks what runs need beside it tells its offers. */
export function usable({ offers, providers }: Inventory): Set<string> {
  return new Set([...providers.filter(({ is_ready }) => is_ready), ...offers.map(({ provider }) => ({ name: provider }))].map(({ name }) => name));
}

/** Ready ones first, then by the order in which `auto` asks them, then by name. */
export function ordered(providers: readonly Provider[]): Provider[] {
  const rank = ({ is_ready, order }: Provider) => (is_ready ? 0 : 1e6) + (order ?? 1e3);
  return [...providers].sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name));
}

/** Offers that match every word, ready providers first, then cheap before dear; an unknown price is last. */
export function matchingOffers({ offers, providers }: Inventory, search: string): Offer[] {
  const place = new Map(ordered(providers).map(({ name }, i) => [name, i]));
  const ready = new Set(providers.filter(({ is_ready }) => is_ready).map(({ name }) => name));
  const wanted = search.toLowerCase().split(/\s+/).filter(Boolean);
  const price = ({ usd_per_hour }: Offer) => usd_per_hour ?? Infinity;
  return offers
    .filter(({ provider, gpu_model, name }) => wanted.every((word) => `${provider} ${gpu_model} ${name}`.toLowerCase().includes(word)))
    .sort((a, b) => Number(ready.has(b.provider)) - Number(ready.has(a.provider)) || Math.sign(price(a) - price(b)) || (place.get(a.provider) ?? 0) - (place.get(b.provider) ?? 0) || a.gpu_model.localeCompare(b.gpu_model));
}

/** "3 of 8 free", "free", "none free", or that the provider does not tell. */
export function availability({ total, available }: Offer): string {
  if (available === null) return total === null ? "not told" : `${total} in all`;
  if (available === 0) return "none free";
  return total === null ? `${available} free` : `${available} of ${total} free`;
}
