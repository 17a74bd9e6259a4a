"use client";

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { readJson } from "@/client/api";
import { ApiError } from "@/client/errors";
import { dollars } from "@/features/run/cost";
import { Ago } from "@/ui/Ago";
import { SearchInput } from "@/ui/SearchInput";
import { ErrorState, Loading } from "@/ui/states";
import { availability, matchingOffers, ordered, usable, type Inventory as Reply, type Offer, type Provider } from "./inventory";

interface Props {
  /** Begin a job on what was clicked. */
  onUse: (entries: Record<string, string>) => void;
}

/** What providers offer, as they tell it, with price and availability. */
export function Inventory({ onUse }: Props) {
  const { data, error, refetch, dataUpdatedAt } = useQuery({ queryKey: ["gpus"], queryFn: () => readJson<Reply>("/api/gpus"), refetchInterval: 60_000 });
  if (error instanceof ApiError && error.status === 404 && !data)
    return <p className="panel px-4 py-3 text-muted">This control plane keeps no inventory of GPUs. Jobs run on the local provider, or on one that is configured.</p>;
  if (!data) return error ? <ErrorState error={error} onRetry={() => void refetch()} /> : <Loading rows={3} />;
  return (
    <section className="panel overflow-hidden" aria-label="Inventory">
      <Providers providers={ordered(data.providers)} usable={usable(data)} />
      <Offers inventory={data} asOf={new Date(dataUpdatedAt).toISOString()} error={error} onUse={onUse} />
    </section>
  );
}

/** Each provider with what it still needs. */
function Providers({ providers, usable }: { providers: Provider[]; usable: ReadonlySet<string> }) {
  return (
    <ul aria-label="Providers" className="flex flex-wrap gap-1.5 border-b p-2">
      {providers.map((provider) => (
        <li key={provider.name} title={aboutOf(provider)} className={`inline-flex items-center gap-1.5 rounded-md border px-2 py-1 text-xs ${usable.has(provider.name) ? "" : "text-muted"}`}>
          <span className={`size-2 rounded-full ${provider.trouble ? "bg-bad" : provider.is_ready ? "bg-good" : usable.has(provider.name) ? "bg-warn" : "bg-line-strong"}`} />
          <span className="font-medium">{provider.name}</span>
          <span className="text-muted">{standing(provider, usable)}</span>
        </li>
      ))}
    </ul>
  );
}

function Offers({ inventory, asOf, error, onUse }: { inventory: Reply; asOf: string; error: Error | null; onUse: Props["onUse"] }) {
  const [search, setSearch] = useState("");
  const [isReadyOnly, setReadyOnly] = useState(false);
  const ready = usable(inventory);
  const shown = matchingOffers(inventory, search).filter(({ provider }) => !isReadyOnly || ready.has(provider));
  const troubles = inventory.providers.filter(({ trouble, missing, is_ready }) => trouble ?? (!is_ready && missing));
  return (
    <>
      <div className="flex flex-wrap items-center gap-3 border-b p-2">
        <SearchInput value={search} onChange={setSearch} label="Search accelerators" />
        <label className="flex items-center gap-2 text-muted">
          <input type="checkbox" checked={isReadyOnly} onChange={() => setReadyOnly(!isReadyOnly)} className="accent-(--accent)" /> only what is set up
        </label>
        <span className="ml-auto text-xs text-muted">
          {shown.length.toLocaleString("en")} offers, read <Ago time={asOf} />
          {error && <span className="text-bad">; the last try failed: {error.message}</span>}
        </span>
      </div>
      <div className="max-h-[34dvh] overflow-auto" tabIndex={0} role="region" aria-label="Accelerators">
        <table className="table" hidden={shown.length === 0}>
          <thead>
            <tr>
              <th>Accelerator</th>
              <th>Provider</th>
              <th className="hidden text-right sm:table-cell">Memory</th>
              <th className="text-right">Price</th>
              <th className="hidden text-right sm:table-cell">Availability</th>
              <th>
                <span className="sr-only">Use</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {shown.map((offer, i) => (
              <OfferRow key={`${offer.provider} ${offer.name} ${offer.gpu_model} ${i}`} offer={offer} isReady={ready.has(offer.provider)} onUse={onUse} />
            ))}
          </tbody>
        </table>
        {shown.length === 0 && <p className="p-6 text-center text-muted">{inventory.offers.length === 0 ? "No provider that is set up offers an accelerator. Jobs run without one on this machine." : "No accelerator matches."}</p>}
      </div>
      {troubles.length > 0 && <Needs providers={troubles} />}
    </>
  );
}

function OfferRow({ offer, isReady, onUse }: { offer: Offer; isReady: boolean; onUse: Props["onUse"] }) {
  return (
    <tr className={isReady ? "" : "text-muted"}>
      <td>
        <span className="font-mono text-xs font-medium">{offer.gpu_model}</span> <span className="hidden text-muted md:inline">{offer.name !== offer.gpu_model && offer.name}</span>
      </td>
      <td>{offer.provider}</td>
      <td className="num hidden text-right sm:table-cell">{offer.memory_gb === null ? "–" : `${offer.memory_gb} GB`}</td>
      <td className="num text-right font-medium">{offer.usd_per_hour === null ? <span title="Not known, or nobody bills it">–</span> : `${dollars(offer.usd_per_hour)} / h`}</td>
      <td className={`num hidden text-right sm:table-cell ${offer.available === 0 ? "text-warn" : ""}`}>{availability(offer)}</td>
      <td className="text-right">
        {isReady && (
          <button type="button" data-row className="text-accent hover:underline" aria-label={`Use ${offer.gpu_model} of ${offer.provider}`} onClick={() => onUse({ provider: offer.provider, gpu_model: offer.gpu_model })}>
            Use
          </button>
        )}
      </td>
    </tr>
  );
}

/** What must be done before the others run anything. */
function Needs({ providers }: { providers: Provider[] }) {
  return (
    <details className="border-t">
      <summary className="px-3 py-2 text-muted select-none">{providers.length === 1 ? "One provider needs" : `${providers.length} providers need`} something</summary>
      <dl className="grid gap-x-4 gap-y-1 border-t px-3 py-2 text-xs sm:grid-cols-[120px_1fr]">
        {providers.map(({ name, missing, trouble }) => (
          <div key={name} className="contents">
            <dt className="font-medium">{name}</dt>
            <dd className={`break-words ${trouble ? "text-bad" : "text-muted"}`}>{trouble ?? missing}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}

function standing({ name, trouble, is_ready, order }: Provider, usable: ReadonlySet<string>): string {
  if (trouble) return "in trouble";
  if (!is_ready) return usable.has(name) ? "own jobs, not runs" : "not set up";
  return order === null ? "by name only" : `asked ${nth(order)}`;
}

function aboutOf({ missing, trouble, runs_commands, runs_images, is_this_host }: Provider): string {
  const runs = [runs_commands && "commands", runs_images && "images"].filter(Boolean).join(" and ");
  return [trouble, missing, runs && `runs ${runs}`, is_this_host && "on this machine"].filter(Boolean).join("; ");
}

function nth(order: number): string {
  return `${order}${{ 1: "st", 2: "nd", 3: "rd" }[order] ?? "th"}`;
}
