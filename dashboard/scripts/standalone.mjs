// After `next build`: completes .next/standalone so that the folder runs anywhere, and drops what it does not need.
import { cpSync, existsSync, rmSync } from "node:fs";

if (process.env.SKYSCALE_EXPORT !== "1") {
  const root = new URL("../", import.meta.url);
  const standalone = new URL(".next/standalone/", root);
  cpSync(new URL(".next/static/", root), new URL(".next/static/", standalone), { recursive: true });
  if (existsSync(new URL("public/", root))) cpSync(new URL("public/", root), new URL("public/", standalone), { recursive: true });
  cpSync(new URL("scripts/preload.cjs", root), new URL("preload.cjs", standalone));
  // Image optimisation is off, and these are native and 19 MB.
  for (const name of ["@img", "sharp", "detect-libc", "semver"]) rmSync(new URL(`node_modules/${name}`, standalone), { recursive: true, force: true });
}
