"use client";

import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { api, bodyOf, type Schemas } from "@/client/api";
import { FormDialog } from "@/features/forms/FormDialog";
import { FunctionsTab } from "@/features/functions/FunctionsTab";
import { ServicesTab } from "@/features/services/ServicesTab";
import { useTopic } from "@/live/useTopic";
import { Button } from "@/ui/Button";
import { Icon } from "@/ui/Icon";
import { PageHeader } from "@/ui/PageHeader";
import { Empty, Loaded } from "@/ui/states";
import { Tabs } from "@/ui/Tabs";
import { useQueryState } from "@/ui/useQueryState";
import { SandboxList } from "./SandboxList";
import { SandboxPanel } from "./SandboxPanel";

const TABS = [
  { id: "sandboxes", label: "Interactive" },
  { id: "functions", label: "Functions" },
  { id: "services", label: "Services" },
] as const;

/** Where code of others runs: sandboxes used by hand, those of functions, and containers with an address. */
export function SandboxesPage() {
  const [chosen, setTab] = useQueryState("tab", "sandboxes");
  const tab = TABS.find(({ id }) => id === chosen) ?? TABS[0];
  return (
    <>
      <PageHeader title="Sandboxes" subtitle="Isolated places for code: by hand, for each call of a function, or as a service" />
      <Tabs label="Kinds of sandboxes" selected={tab.id} onSelect={setTab} tabs={TABS} />
      <div id="panel" role="tabpanel" aria-label={tab.label}>
        {tab.id === "sandboxes" && <Interactive />}
        {tab.id === "functions" && <FunctionsTab />}
        {tab.id === "services" && <ServicesTab />}
      </div>
    </>
  );
}

function Interactive() {
  const { data, error } = useTopic("sandboxes");
  const [chosen, setChosen] = useQueryState("id", "");
  const [isMaking, setMaking] = useState(false);
  const make = useMutation({
    mutationFn: async (body: Record<string, unknown>) => {
      const start = performance.now();
      const made = await bodyOf(api.POST("/api/sandboxes", { body: body as Schemas["SandboxCreate"] }));
      return { id: made.id, ms: performance.now() - start };
    },
    onSuccess: ({ id }) => {
      setMaking(false);
      setChosen(id);
    },
  });
  const action = (
    <Button look="primary" data-new onClick={() => setMaking(true)}>
      <Icon name="plus" size={14} /> New sandbox
    </Button>
  );
  return (
    <>
      <Loaded data={data} error={error}>
        {({ sandboxes }) => (sandboxes.length === 0 && !chosen ? <NoSandboxes action={action} /> : <Sandboxes sandboxes={sandboxes} chosen={chosen} onChoose={setChosen} madeIn={make.data ?? null} action={action} />)}
      </Loaded>
      {isMaking && (
        <FormDialog
          title="New sandbox"
          action="Make it"
          form="SandboxCreate"
          essential={["runtime", "backend", "ttl_seconds", "limits.memory_mb"]}
          hidden={["sandbox_id"]}
          intro="Everything has a default. It is destroyed when its time is over or nobody has used it for a while."
          isBusy={make.isPending}
          error={make.error}
          onSubmit={(body) => make.mutate(body)}
          onClose={() => setMaking(false)}
        />
      )}
    </>
  );
}

interface SandboxesProps {
  sandboxes: Schemas["SandboxView"][];
  chosen: string;
  onChoose: (id: string) => void;
  madeIn: { id: string; ms: number } | null;
  action: React.ReactNode;
}

function Sandboxes({ sandboxes, chosen, onChoose, madeIn, action }: SandboxesProps) {
  const selected = chosen ? sandboxes.find(({ id }) => id === chosen) : sandboxes.find(({ status }) => status !== "destroyed");
  const startMs = madeIn && selected?.id === madeIn.id ? madeIn.ms : null;
  return (
    <div className="grid gap-4 px-4 py-4 pb-8 md:px-6 lg:grid-cols-[320px_minmax(0,1fr)]">
      <div className="flex flex-col gap-3 self-start">
        {action}
        <SandboxList sandboxes={sandboxes} selected={selected?.id ?? null} onSelect={onChoose} />
      </div>
      {selected ? (
        <SandboxPanel key={selected.id} sandbox={selected} startMs={startMs} />
      ) : (
        <Empty title={chosen ? `${chosen} is not among the newest sandboxes` : "No sandbox is open"}>{chosen ? "It may be starting, or it is long gone." : "Make a new one, or look at one that ended."}</Empty>
      )}
    </div>
  );
}

function NoSandboxes({ action }: { action: React.ReactNode }) {
  return (
    <Empty title="No sandbox yet">
      <p>A sandbox runs Python or shell without network, within hard limits; its files stay until it is destroyed. The same kind judges what a model writes.</p>
      {action}
      <code className="font-mono text-xs">skyscale sandbox --help</code>
    </Empty>
  );
}
