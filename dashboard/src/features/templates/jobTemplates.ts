"use client";

import { useQuery } from "@tanstack/react-query";
import { readJson } from "@/client/api";
import { entriesOfBody, fieldsOf, type Entries } from "@/features/forms/fields";

export interface JobTemplate {
  name: string;
  summary: string;
  body: Record<string, unknown>;
}

/** Jobs to begin from, as the control plane keeps them. */
export function useJobTemplates(isWanted = true) {
  return useQuery({
    queryKey: ["templates"],
    queryFn: async () => (await readJson<{ templates: JobTemplate[] }>("/api/templates")).templates,
    staleTime: 300_000,
    enabled: isWanted,
    retry: false,
  });
}

/** What a template fills in; null when there is none of this name, or they are not read yet. */
export function entriesOfTemplate(templates: readonly JobTemplate[] | undefined, name: string): Entries | null {
  const found = templates?.find((template) => template.name === name);
  return found ? entriesOfBody(fieldsOf("TrainingJobCreate"), found.body) : null;
}
