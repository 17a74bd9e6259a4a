/** Roles and what each call through the proxy needs. Pure. */

export const ROLES = ["viewer", "operator", "admin"] as const;
export type Role = (typeof ROLES)[number];

export function isRole(value: unknown): value is Role {
  return ROLES.includes(value as Role);
}

/** Whether a role reaches as far as the one that is needed. */
export function includes(have: Role, need: Role): boolean {
  return ROLES.indexOf(have) >= ROLES.indexOf(need);
}

/**
 * What a call needs. Everything but reading may cost money or change something, so it needs an operator; a person's own
 * API keys are the exception, and the control plane refuses a key beyond its maker's role.
 */
export function neededRole(method: string, path: string): Role {
  if (isReading(method) || path === "/api/keys" || path.startsWith("/api/keys/")) return "viewer";
  return "operator";
}

export function isReading(method: string): boolean {
  return method === "GET" || method === "HEAD";
}
