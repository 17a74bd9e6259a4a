"use client";

import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { api, bodyOf, type Schemas } from "@/client/api";
import type { Entries } from "@/features/forms/fields";
import { FormDialog } from "@/features/forms/FormDialog";
import { entriesOfTemplate, useJobTemplates } from "@/features/templates/jobTemplates";
import { useTopic } from "@/live/useTopic";
import { Button } from "@/ui/Button";
import { Icon } from "@/ui/Icon";
import { PageHeader } from "@/ui/PageHeader";
import { Empty, ErrorState, Loaded } from "@/ui/states";
import { useQueryState } from "@/ui/useQueryState";
import { Inventory } from "./Inventory";
import { JobDialog } from "./JobDialog";
import { JobsTable } from "./JobsTable";

/** What can be rented, and every process that was asked for: those of runs, and commands of one's own. */
export function JobsPage() {
  const { data, error } = useTopic("jobs");
  const [chosen, setChosen] = useQueryState("job", "", "template");
  const [template, setTemplate] = useQueryState("template", "");
  const [entries, setEntries] = useState<Entries | null>(null);
  const fromTemplate = useJobTemplates(template !== "");
  const initial = entries ?? (template ? entriesOfTemplate(fromTemplate.data, template) : null);
  const close = () => {
    setEntries(null);
    if (template) setTemplate("");
  };
  const submit = useMutation({
    mutationFn: (body: Record<string, unknown>) => bodyOf(api.POST("/api/training/jobs", { body: body as Schemas["TrainingJobCreate"] })),
    onSuccess: ({ job_id }) => {
      setEntries(null);
      setChosen(job_id);
    },
  });
  return (
    <>
      <PageHeader title="On-Demand GPUs" subtitle="Any command as a job on a provider, and the queue of all jobs">
        <Button look="primary" data-new onClick={() => setEntries({})}>
          <Icon name="plus" size={14} /> Submit a job
        </Button>
      </PageHeader>
      <div className="flex flex-col gap-4 px-4 pb-8 md:px-6">
        {template && fromTemplate.error && <ErrorState error={fromTemplate.error} />}
        {template && fromTemplate.data && !initial && <p role="alert" className="panel px-4 py-3">There is no template “{template}”. The page Templates lists those that there are.</p>}
        <Inventory onUse={setEntries} />
        <section className="panel overflow-hidden" aria-label="Jobs">
          <Loaded data={data} error={error}>
            {({ jobs }) =>
              jobs.length === 0 ? (
                <Empty title="No job yet">Runs start their processes as jobs; you can submit a command of your own.</Empty>
              ) : (
                <JobsTable jobs={jobs} onOpen={setChosen} />
              )
            }
          </Loaded>
        </section>
      </div>
      {chosen && <JobDialog jobId={chosen} onClose={() => setChosen("")} />}
      {initial && (
        <FormDialog
          title="Submit a job"
          action="Submit"
          form="TrainingJobCreate"
          initial={initial}
          essential={["command", "provider", "gpu_model", "docker_image", "env_vars", "timeout_s"]}
          hidden={["job_id"]}
          intro="The local provider runs the command as a process of this machine, as the user of the control plane. Other providers may charge you."
          isBusy={submit.isPending}
          error={submit.error}
          onSubmit={(body) => submit.mutate(body)}
          onClose={close}
        />
      )}
    </>
  );
}
