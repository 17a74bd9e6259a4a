/**
 * Better Auth, set up once per process: e-mail and password, sessions in the database, one role per person.
 * Who may sign up is decided in `handler.ts`; whether a request comes from our own pages, in `origin.ts`.
 */
import "server-only";
import { betterAuth, type BetterAuthOptions } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { accountsConfig } from "./config";
import { accountsDatabase } from "./database";
import { isSameOrigin } from "./origin";
import { isRole, type Role } from "./roles";
import { sessionSecret } from "./secret";

const DAY_S = 86_400;
export const MIN_PASSWORD_CHARS = 10;

export interface Person {
  id: string;
  email: string;
  name: string;
  role: Role;
}

function makeAuth() {
  const config = accountsConfig();
  const options = {
    appName: "Skyscale",
    baseURL: config.publicUrl ?? "http://127.0.0.1",
    basePath: "/api/auth",
    secret: sessionSecret(process.env.BETTER_AUTH_SECRET, config.secretPath),
    database: accountsDatabase(config),
    emailAndPassword: { enabled: true, minPasswordLength: MIN_PASSWORD_CHARS, maxPasswordLength: 128 },
    // Only the database hook and the admin's own route set it: `input: false` refuses it from a browser.
    user: { additionalFields: { role: { type: "string", required: false, defaultValue: "viewer", input: false } } },
    session: { expiresIn: 7 * DAY_S, updateAge: DAY_S },
    trustedOrigins: async (request) => (request && isSameOrigin(request.headers, config.publicUrl) ? [request.headers.get("origin")] : []),
    // Counted in `handler.ts`, by the address that `preload.cjs` takes from the socket.
    rateLimit: { enabled: false },
    telemetry: { enabled: false },
    logger: { level: "error" },
    advanced: {
      cookiePrefix: "skyscale",
      useSecureCookies: config.publicUrl?.startsWith("https://") ?? false,
      defaultCookieAttributes: { httpOnly: true, sameSite: "lax", path: "/" },
    },
    databaseHooks: { user: { create: { before: async (user) => ({ data: { ...user, role: await roleOfNewcomer() } }) } } },
  } satisfies BetterAuthOptions;
  return { auth: betterAuth(options), options };
}

let made: ReturnType<typeof makeAuth> | null = null;

/** The one instance; throws what is wrong with the environment. */
export function accounts(): ReturnType<typeof makeAuth>["auth"] {
  return (made ??= makeAuth()).auth;
}

/** Make or complete the tables; changes nothing when they are complete. */
export async function migrateAccounts(): Promise<void> {
  made ??= makeAuth();
  const { runMigrations } = await getMigrations(made.options);
  await runMigrations();
}

export async function numPeople(): Promise<number> {
  return (await accounts().$context).internalAdapter.countTotalUsers();
}

/** A user of the database as the rest of the server knows them; an unknown role counts for the least. */
export function personOf(user: { id: string; email: string; name: string; role?: unknown }): Person {
  return { id: user.id, email: user.email, name: user.name, role: isRole(user.role) ? user.role : "viewer" };
}

async function roleOfNewcomer(): Promise<Role> {
  return (await numPeople()) === 0 ? "admin" : "viewer";
}
