/** Forms that grow with the API: their fields come from openapi.json, with description, default and bounds. */
import fields from "@/client/fields.json";
import { ABOUT, LABELS } from "./about";

export interface FormField {
  /** `algorithm.group_size`: a name inside a name. */
  path: string;
  about: string;
  kind: "integer" | "number" | "boolean" | "string" | "choice" | "json";
  choices?: (string | number)[];
  default: unknown;
  isRequired: boolean;
  min?: number;
  max?: number;
}

export type FormName = keyof typeof fields;

/** The fields that have more than one possible value. */
export function fieldsOf(form: FormName): FormField[] {
  return (fields[form] as FormField[])
    .filter((field) => !(field.choices?.length === 1) && !(field.min !== undefined && field.min === field.max))
    .map((field) => ({ ...field, about: field.about || ABOUT[field.path] || "" }));
}

/** What a person typed, by path; a field that is absent or empty keeps its default. */
export type Entries = Readonly<Record<string, string>>;

/** The request body: only what was typed. Text that is no number stays text, for the server to refuse with its reason. */
export function bodyOfEntries(fields: readonly FormField[], entries: Entries): Record<string, unknown> {
  const body: Record<string, unknown> = {};
  for (const field of fields) {
    const text = entries[field.path]?.trim();
    if (text) put(body, field.path.split("."), valueOf(field, text));
  }
  return body;
}

/** A body as entries, without what is the default anyway: the other way round. */
export function entriesOfBody(fields: readonly FormField[], body: Record<string, unknown>): Entries {
  const given = fields.flatMap((field): [string, string][] => {
    const value = field.path.split(".").reduce<unknown>((part, name) => (part as Record<string, unknown> | null | undefined)?.[name], body);
    if (value === undefined || value === null || JSON.stringify(value) === JSON.stringify(field.default)) return [];
    return [[field.path, typeof value === "string" ? value : JSON.stringify(value)]];
  });
  return Object.fromEntries(given);
}

function valueOf(field: FormField, text: string): unknown {
  if (field.kind === "string") return text;
  if (field.kind === "choice") return field.choices?.find((choice) => String(choice) === text) ?? text;
  if (field.kind === "boolean") return text === "true";
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

function put(body: Record<string, unknown>, [name = "", ...rest]: string[], value: unknown): void {
  if (rest.length === 0) body[name] = value;
  else put((body[name] ??= {}) as Record<string, unknown>, rest, value);
}

/** The errors of a refused body by field: "num_workers: too small; algorithm.clip_low: ..." */
export function errorsByField(detail: string, fields: readonly FormField[]): Record<string, string> {
  const known = new Set(fields.map(({ path }) => path));
  const errors: Record<string, string> = {};
  for (const part of detail.split("; ")) {
    const [path = "", ...rest] = part.split(": ");
    if (known.has(path)) errors[path] = rest.join(": ");
  }
  return errors;
}

/** `learning_rate` as a label. */
export function labelOf(path: string): string {
  const known = LABELS[path];
  if (known) return known;
  const name = path.split(".").at(-1) ?? path;
  return (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("_", " ").replace("gpu", "GPU").replace("Gpu", "GPU");
}
