/** Where accounts are kept: PostgreSQL when DATABASE_URL says so, else a SQLite file that only its owner reads. */
import "server-only";
import { chmodSync, closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { Pool } from "pg";
import type { AccountsConfig } from "./config";

const CONNECT_MS = 5_000;

export function accountsDatabase(config: AccountsConfig) {
  if (config.databaseUrl !== null) {
    const pool = new Pool({ connectionString: config.databaseUrl, max: 5, connectionTimeoutMillis: CONNECT_MS });
    // A lost idle connection is replaced by the next query; unheard, the event would end the process.
    pool.on("error", (error) => console.error("accounts database:", error.message));
    return pool;
  }
  return sqlite(config.sqlitePath);
}

function sqlite(path: string) {
  // By name at run time: a bundler would look for the module while building.
  const module = process.getBuiltinModule("node:sqlite") as typeof import("node:sqlite") | undefined;
  if (!module) throw new Error(`accounts need Node 22.13 or newer (this is ${process.version}), or DATABASE_URL`);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  closeSync(openSync(path, "a", 0o600));
  chmodSync(path, 0o600);
  const database = new module.DatabaseSync(path);
  database.exec("PRAGMA journal_mode=WAL; PRAGMA busy_timeout=5000; PRAGMA foreign_keys=ON");
  return database;
}
