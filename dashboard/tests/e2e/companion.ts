/** A Python program that stands beside the stack: its first line says where it is, and it ends with its standard input. */
import { spawn } from "node:child_process";
import { outputUntil, python } from "./stack";

export interface Companion {
  said: string;
  stop: () => Promise<void>;
}

export async function startCompanion(file: string): Promise<Companion> {
  const child = spawn(python(), [new URL(file, import.meta.url).pathname], { stdio: ["pipe", "pipe", "pipe"] });
  const said = (await outputUntil(child, /^(.+)\n/))[1] ?? "";
  return {
    said,
    stop: async () => {
      if (child.exitCode !== null) return;
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.stdin.end();
      await gone;
    },
  };
}
