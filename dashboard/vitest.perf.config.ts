import { defineConfig } from "vitest/config";

/** Measurements on the real stack; `perf/dashboard.py` runs them and prints what they found. */
export default defineConfig({
  resolve: { alias: { "@": new URL("./src", import.meta.url).pathname } },
  test: { include: ["tests/perf/**/*.test.ts"], fileParallelism: false, testTimeout: 540_000, hookTimeout: 180_000 },
});
