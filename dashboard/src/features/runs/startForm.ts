/** How the fields of a run are grouped in the dialog, and what a request looks like on the command line. */
import type { FormField } from "@/features/forms/fields";

export const ESSENTIAL = ["base_model", "problem_set", "difficulty", "algorithm.name", "num_workers", "gpu_model", "provider", "max_steps", "max_hours", "target_reward", "max_cost_usd"];
const HIDDEN = new Set(["dry_run", "run_id"]);

export interface Group {
  title: string;
  fields: FormField[];
}

/** What most people change first; the rest by the name before its dot. */
export function groupsOf(fields: readonly FormField[]): { essential: FormField[]; more: Group[] } {
  const shown = fields.filter(({ path }) => !HIDDEN.has(path));
  const essential = ESSENTIAL.flatMap((path) => shown.find((field) => field.path === path) ?? []);
  const rest = shown.filter((field) => !essential.includes(field));
  const names = [...new Set(rest.map(({ path }) => path.split(".").slice(0, -1).join(".")))].sort((a, b) => rank(a) - rank(b));
  const more = names.map((name) => ({ title: name || "run", fields: rest.filter(({ path }) => path.split(".").slice(0, -1).join(".") === name) }));
  return { essential, more };
}

function rank(name: string): number {
  const order = ["algorithm", "sampling", "evaluation"].indexOf(name);
  return name === "" ? 99 : order === -1 ? 50 : order;
}

/** The same request for a terminal. */
export function cliLine(body: Record<string, unknown>): string {
  const settings = flat(body).map(([path, value]) => ` --set ${quoted(`${path}=${typeof value === "string" ? value : JSON.stringify(value)}`)}`);
  return `skyscale runs create${settings.join("")} --watch`;
}

function flat(body: Record<string, unknown>, prefix = ""): [string, unknown][] {
  return Object.entries(body).flatMap(([name, value]): [string, unknown][] =>
    typeof value === "object" && value !== null && !Array.isArray(value) ? flat(value as Record<string, unknown>, `${prefix}${name}.`) : [[prefix + name, value]],
  );
}

function quoted(text: string): string {
  return /^[A-Za-z0-9_.=/:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
