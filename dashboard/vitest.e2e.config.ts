import { defineConfig } from "vitest/config";

/** The real stack and a real browser, each file with its own; two files at a time, since a page mostly waits. */
export default defineConfig({
  resolve: { alias: { "@": new URL("./src", import.meta.url).pathname } },
  test: { include: ["tests/e2e/**/*.test.ts"], pool: "forks", maxWorkers: 2, testTimeout: 120_000, hookTimeout: 180_000 },
});
