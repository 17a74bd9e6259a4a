import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { alias: { "@": new URL("./src", import.meta.url).pathname, "server-only": new URL("./node_modules/next/dist/compiled/server-only/empty.js", import.meta.url).pathname } },
  test: { include: ["tests/unit/**/*.test.ts"] },
});
