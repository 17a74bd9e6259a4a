"use client";

import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { Button } from "@/ui/Button";
import { INPUT } from "@/ui/Field";
import { duration } from "@/ui/format";
import { ErrorState } from "@/ui/states";
import { callService, type ServiceCall, type ServiceTemplate } from "./services";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const;
type Method = (typeof METHODS)[number];

/** One request to the service by hand. What it answers is hostile: shown as text only. */
export function TestCall({ name, templates }: { name: string; templates: ServiceTemplate[] }) {
  const [method, setMethod] = useState<Method>("GET");
  const [path, setPath] = useState("/");
  const [body, setBody] = useState("");
  const call = useMutation({ mutationFn: () => callService(name, { method, path, ...(body ? { body } : {}) } as ServiceCall) });
  const fill = (chosen: string) => {
    const template = templates.find((each) => each.name === chosen);
    if (!template) return;
    setMethod(template.test_method);
    setPath(template.test_path);
    setBody(template.test_body ?? "");
  };
  return (
    <form
      className="border-t"
      onSubmit={(event) => {
        event.preventDefault();
        call.mutate();
      }}
    >
      <div className="flex flex-wrap items-center gap-2 p-3">
        <select aria-label="Method" className={`${INPUT} w-24!`} value={method} onChange={(event) => setMethod(event.target.value as Method)}>
          {METHODS.map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
        <input aria-label="Path" className={`${INPUT} min-w-32 flex-1 font-mono`} value={path} spellCheck={false} onChange={(event) => setPath(event.target.value)} />
        <select aria-label="Fill in the test of" className={`${INPUT} w-44!`} value="" onChange={(event) => fill(event.target.value)}>
          <option value="">test of a template</option>
          {templates.map(({ name: each, title }) => (
            <option key={each} value={each}>
              {title}
            </option>
          ))}
        </select>
        <Button look="primary" type="submit" isBusy={call.isPending}>
          Send
        </Button>
      </div>
      {method !== "GET" && <textarea aria-label="Body" rows={3} value={body} spellCheck={false} placeholder='{"a": 1}' onChange={(event) => setBody(event.target.value)} className="block w-full resize-y border-t bg-panel p-3 font-mono text-xs focus-visible:outline-offset-[-2px]" />}
      {call.error && <ErrorState error={call.error} />}
      {call.data && (
        <div className="border-t p-4" role="status" data-testid="service-reply">
          <p className={`num text-xs ${call.data.status_code < 400 ? "text-muted" : "text-warn"}`}>
            {call.data.status_code}, {call.data.content_type || "no content type"}, {duration(call.data.duration_ms / 1000)}
            {call.data.is_cut && ", cut off"}
          </p>
          <pre tabIndex={0} className="mt-2 max-h-64 overflow-auto rounded-md bg-sunken p-3 font-mono text-xs break-all whitespace-pre-wrap">{call.data.body || "an empty body"}</pre>
        </div>
      )}
    </form>
  );
}
