/** The environment of the dashboard's server, read when it is needed: a build has none of it. */
import "server-only";
import { join, resolve } from "node:path";

export interface AccountsConfig {
  /** `postgresql://...`, or null for a SQLite file. */
  databaseUrl: string | null;
  sqlitePath: string;
  secretPath: string;
  /** Where people reach the dashboard, when that is not simply this machine. */
  publicUrl: string | null;
  isSignUpOpen: boolean;
}

export function accountsConfig(environment: NodeJS.ProcessEnv = process.env): AccountsConfig {
  // A path of run time: nothing of it is known to the bundler, or part of the bundle.
  const folder = resolve(/* turbopackIgnore: true */ environment.SKYSCALE_DATA_DIR ?? ".skyscale");
  return {
    // The control plane names its Python driver in the same variable.
    databaseUrl: environment.DATABASE_URL?.replace(/^postgres(ql)?(\+\w+)?:/, "postgresql:") || null,
    sqlitePath: join(folder, "accounts.db"),
    secretPath: join(folder, "secrets", "better-auth-secret"),
    publicUrl: environment.SKYSCALE_DASHBOARD_URL?.replace(/\/+$/, "") || null,
    isSignUpOpen: environment.SKYSCALE_SIGN_UP === "open",
  };
}
