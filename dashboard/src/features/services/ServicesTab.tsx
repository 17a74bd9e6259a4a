"use client";

import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Ago } from "@/ui/Ago";
import { Button } from "@/ui/Button";
import { Icon } from "@/ui/Icon";
import { Empty, Loaded } from "@/ui/states";
import { Status } from "@/ui/Status";
import { useQueryState } from "@/ui/useQueryState";
import { useRowKeys } from "@/ui/useRowKeys";
import { DeployService } from "./DeployService";
import { ServicePanel } from "./ServicePanel";
import { listServices, readTemplates, type Service, type ServiceTemplate } from "./services";

/** Containers with an address of their own, at Railway. `?deploy=` opens the dialog with a template. */
export function ServicesTab() {
  const { data, error, refetch } = useQuery({ queryKey: ["service-templates"], queryFn: readTemplates, staleTime: 60_000 });
  return (
    <Loaded data={data} error={error} onRetry={() => void refetch()}>
      {({ is_configured, templates }) => (is_configured ? <Services templates={templates} /> : <NotConfigured templates={templates} />)}
    </Loaded>
  );
}

function NotConfigured({ templates }: { templates: ServiceTemplate[] }) {
  return (
    <Empty title="No place for services is set up">
      <p>A service is a container with an HTTP address of its own, at Railway, which bills it until it is stopped. Give the control plane a project token of yours and start it again:</p>
      <code className="rounded-md bg-sunken px-2 py-1 font-mono text-xs">RAILWAY_TOKEN=… skyscale up</code>
      <p>Then {templates.map(({ title }) => title).join(", ")} and any image of your own can be deployed from here.</p>
    </Empty>
  );
}

function Services({ templates }: { templates: ServiceTemplate[] }) {
  const { data, error, refetch } = useQuery({ queryKey: ["services"], queryFn: listServices, refetchInterval: 10_000 });
  const [chosen, setChosen] = useQueryState("service", "", "deploy");
  const [deploying, setDeploying] = useQueryState("deploy", "");
  const action = (
    <Button look="primary" data-new onClick={() => setDeploying(templates[0]?.name ?? "image")}>
      <Icon name="plus" size={14} /> Deploy a service
    </Button>
  );
  return (
    <Loaded data={data} error={error} onRetry={() => void refetch()}>
      {(services) => (
        <>
          {services.length === 0 ? (
            <Empty title="No service is deployed">
              <p>A service is a container with an HTTP address of its own: a template that comes along, or any image.</p>
              {action}
              <code className="font-mono text-xs">skyscale services deploy --help</code>
            </Empty>
          ) : (
            <List services={services} templates={templates} chosen={chosen} onChoose={setChosen} action={action} />
          )}
          {deploying && (
            <DeployService
              templates={templates}
              initial={templates.some(({ name }) => name === deploying) ? deploying : ""}
              onClose={() => setDeploying("")}
              onDone={(name) => {
                setChosen(name);
                void refetch();
              }}
            />
          )}
        </>
      )}
    </Loaded>
  );
}

interface ListProps {
  services: Service[];
  templates: ServiceTemplate[];
  chosen: string;
  onChoose: (name: string) => void;
  action: ReactNode;
}

function List({ services, templates, chosen, onChoose, action }: ListProps) {
  const rows = useRowKeys<HTMLUListElement>();
  const selected = chosen ? services.find(({ name }) => name === chosen) : services[0];
  return (
    <div className="grid gap-4 px-4 py-4 pb-8 md:px-6 lg:grid-cols-[320px_minmax(0,1fr)]">
      <div className="flex flex-col gap-3 self-start">
        {action}
        <ul ref={rows} aria-label="Services" className="panel max-h-[30dvh] overflow-y-auto lg:max-h-[60dvh]">
          {services.map(({ name, status, image, created_at }) => (
            <li key={name} className="border-b last:border-b-0">
              <button type="button" data-row aria-current={name === selected?.name || undefined} onClick={() => onChoose(name)} className={`flex w-full flex-col gap-0.5 px-3 py-2 text-left ${name === selected?.name ? "bg-sunken" : "hover:bg-sunken/60"}`}>
                <span className="flex w-full items-center justify-between gap-2">
                  <span className="truncate font-mono text-xs font-medium">{name}</span>
                  <Status status={status} />
                </span>
                <span className="flex w-full justify-between gap-2 text-xs text-muted">
                  <span className="truncate">{image}</span>
                  {created_at && (
                    <span className="whitespace-nowrap">
                      <Ago time={created_at} />
                    </span>
                  )}
                </span>
              </button>
            </li>
          ))}
        </ul>
      </div>
      {selected ? <ServicePanel key={selected.name} service={selected} templates={templates} /> : <Empty title={`There is no service ${chosen}`}>It may have been deleted.</Empty>}
    </div>
  );
}
