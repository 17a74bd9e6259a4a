/** Container services as the control plane tells them, and what the deploy dialog makes of what was typed. */
import { api, bodyOf, type Schemas } from "@/client/api";

export type Service = Schemas["ServiceView"];
export type ServiceTemplate = Schemas["ServiceTemplate"];
export type ServiceCall = Schemas["ServiceCall"];

export const readTemplates = () => bodyOf(api.GET("/api/services/templates"));
export const listServices = async () => (await bodyOf(api.GET("/api/services"))).services;
export const deploy = (body: Schemas["ServiceDeploy"]) => bodyOf(api.POST("/api/services", { body }));
export const readLogs = async (name: string) => (await bodyOf(api.GET("/api/services/{name}/logs", named(name)))).lines;
export const callService = (name: string, body: ServiceCall) => bodyOf(api.POST("/api/services/{name}/call", { ...named(name), body }));
export const stop = (name: string) => bodyOf(api.POST("/api/services/{name}/stop", named(name)));
export const remove = (name: string) => bodyOf(api.DELETE("/api/services/{name}", named(name)));

/** What can be ended: something of it may be running, and billed. */
export function isStoppable({ status }: Pick<Service, "status">): boolean {
  return status === "created" || status === "deploying" || status === "running" || status === "sleeping";
}

/** What was typed in the dialog: a template with its variables, or an image of one's own. */
export interface Typed {
  name: string;
  /** Empty: an image. */
  template: string;
  image: string;
  port: string;
  command: string;
  health: string;
  variables: Readonly<Record<string, string>>;
  /** One NAME=value a line. */
  more: string;
  /** US dollars; empty: no limit. */
  maxCost: string;
}

/** The request body. Text that is no number stays text, for the server to refuse with its reason. Throws Error for a line without `=`. */
export function bodyOfTyped({ name, template, image, port, command, health, variables, more, maxCost }: Typed): Schemas["ServiceDeploy"] {
  const env_vars = { ...(template ? filled(variables) : {}), ...variablesOf(more) };
  const limit = maxCost.trim() ? { max_cost_usd: (Number(maxCost) || maxCost) as number } : {};
  if (template) return { name, template, env_vars, ...limit };
  const own = { image, ...(port.trim() ? { port: (Number(port) || port) as number } : {}), ...filled({ command, health_path: health }) };
  return { name, ...own, env_vars, ...limit };
}

/** `NAME=value` lines; a value may contain `=`. */
export function variablesOf(text: string): Record<string, string> {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return Object.fromEntries(
    lines.map((line) => {
      const at = line.indexOf("=");
      if (at < 1) throw new Error(`“${line.trim()}” is no NAME=value.`);
      return [line.slice(0, at).trim(), line.slice(at + 1)];
    }),
  );
}

function filled(values: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value.trim() !== ""));
}

function named(name: string) {
  return { params: { path: { name } } };
}
