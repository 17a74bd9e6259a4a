"use client";

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { ApiError } from "@/client/errors";
import { Ago } from "@/ui/Ago";
import { Button } from "@/ui/Button";
import { CopyButton } from "@/ui/CopyButton";
import { Icon } from "@/ui/Icon";
import { Empty, Loaded } from "@/ui/states";
import { useQueryState } from "@/ui/useQueryState";
import { useRowKeys } from "@/ui/useRowKeys";
import { DeployFunction } from "./DeployFunction";
import { FunctionPanel } from "./FunctionPanel";
import { listEndpoints, listFunctions, type Endpoint, type FunctionView } from "./functions";

/** Code that is deployed once and called many times, each call in a fresh sandbox; and its addresses over HTTP. */
export function FunctionsTab() {
  const { data, error, refetch } = useQuery({ queryKey: ["functions"], queryFn: listFunctions, refetchInterval: 5_000 });
  const [chosen, setChosen] = useQueryState("function", "");
  const [isDeploying, setDeploying] = useState(false);
  const action = (
    <Button look="primary" onClick={() => setDeploying(true)}>
      <Icon name="plus" size={14} /> Deploy a function
    </Button>
  );
  if (error instanceof ApiError && error.status === 404 && !data) return <Empty title="This control plane has no functions">A newer one deploys code and calls it, each call in a fresh sandbox.</Empty>;
  return (
    <Loaded data={data} error={error} onRetry={() => void refetch()}>
      {(functions) => (
        <>
          {functions.length === 0 ? (
            <Empty title="No function is deployed">
              <p>A function is a Python module; each call of it runs in a fresh sandbox, and its result is JSON.</p>
              {action}
            </Empty>
          ) : (
            <Functions functions={functions} chosen={chosen} onChoose={setChosen} action={action} />
          )}
          {isDeploying && (
            <DeployFunction
              onClose={() => setDeploying(false)}
              onDone={(name) => {
                setDeploying(false);
                void refetch().then(() => setChosen(name));
              }}
            />
          )}
        </>
      )}
    </Loaded>
  );
}

interface FunctionsProps {
  functions: FunctionView[];
  chosen: string;
  onChoose: (name: string) => void;
  action: React.ReactNode;
}

function Functions({ functions, chosen, onChoose, action }: FunctionsProps) {
  const rows = useRowKeys<HTMLUListElement>();
  const selected = chosen ? functions.find(({ name }) => name === chosen) : functions[0];
  return (
    <div className="grid gap-4 px-4 py-4 pb-8 md:px-6 lg:grid-cols-[320px_minmax(0,1fr)]">
      <div className="flex flex-col gap-3 self-start">
        {action}
        <ul ref={rows} aria-label="Functions" className="panel max-h-[30dvh] overflow-y-auto lg:max-h-[60dvh]">
          {functions.map(({ name, version, num_warm, updated_at, spec }) => (
            <li key={name} className="border-b last:border-b-0">
              <button type="button" data-row aria-current={name === selected?.name || undefined} onClick={() => onChoose(name)} className={`flex w-full flex-col gap-0.5 px-3 py-2 text-left ${name === selected?.name ? "bg-sunken" : "hover:bg-sunken/60"}`}>
                <span className="truncate font-mono text-xs font-medium">{name}</span>
                <span className="num flex w-full justify-between gap-2 text-xs text-muted">
                  <span>
                    {version.slice(0, 8)} · {spec.gpu ? `${spec.gpu.model} on ${spec.gpu.provider}` : `${num_warm} warm`}
                  </span>
                  <Ago time={updated_at} />
                </span>
              </button>
            </li>
          ))}
        </ul>
      </div>
      <div className="flex min-w-0 flex-col gap-4">
        {selected ? <FunctionPanel key={selected.name} shown={selected} /> : <Empty title={`There is no function ${chosen}`}>It may have been deleted.</Empty>}
        <Endpoints />
      </div>
    </div>
  );
}

/** Functions with an address of their own. */
function Endpoints() {
  const { data } = useQuery({ queryKey: ["endpoints"], queryFn: listEndpoints, refetchInterval: 15_000, retry: false });
  if (!data || data.length === 0) return null;
  return (
    <section className="panel overflow-hidden" aria-label="Endpoints">
      <h3 className="border-b px-3 py-2 font-medium">Endpoints</h3>
      <ul>
        {data.map((endpoint) => (
          <EndpointRow key={endpoint.id} endpoint={endpoint} />
        ))}
      </ul>
    </section>
  );
}

function EndpointRow({ endpoint: { slug, function: name, url, web_method, is_public, last_request_at } }: { endpoint: Endpoint }) {
  return (
    <li className="flex flex-wrap items-center gap-x-3 gap-y-1 border-b px-3 py-2 last:border-b-0">
      <span className="font-mono text-xs font-medium">{slug}</span>
      <span className="text-xs text-muted">calls {name}</span>
      <code className="min-w-0 flex-1 truncate font-mono text-2xs" title={url}>
        {web_method} {url}
      </code>
      <CopyButton text={url} label={`Copy the address of ${slug}`} />
      <span className={`text-xs ${is_public ? "text-warn" : "text-muted"}`}>{is_public ? "open to anybody" : "needs credentials"}</span>
      <span className="text-xs text-muted">{last_request_at ? <Ago time={last_request_at} /> : "never called"}</span>
    </li>
  );
}
