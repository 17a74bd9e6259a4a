import type { NextConfig } from "next";

/**
 * Two outputs of one source. The default is a standalone server; `SKYSCALE_EXPORT=1` writes static pages that read the
 * control plane directly. Pages are `.tsx` and route handlers `.ts`, so the export leaves handlers out by extension.
 */
const isExport = process.env.SKYSCALE_EXPORT === "1";

/** A reply of the API is data: never guessed to be a page, and harmless when a browser is led to show it as one. */
const DATA_HEADERS = [
  { key: "x-content-type-options", value: "nosniff" },
  { key: "content-security-policy", value: "default-src 'none'; frame-ancestors 'none'; sandbox" },
];

const config: NextConfig = {
  output: isExport ? "export" : "standalone",
  pageExtensions: isExport ? ["tsx"] : ["tsx", "ts"],
  trailingSlash: isExport,
  outputFileTracingRoot: import.meta.dirname,
  turbopack: { root: import.meta.dirname },
  // Known to pages too: the export has no server that could change anything.
  env: { SKYSCALE_EXPORT: isExport ? "1" : "" },
  ...(isExport ? {} : { headers: async () => [{ source: "/api/:path*", headers: DATA_HEADERS }] }),
  images: { unoptimized: true },
  poweredByHeader: false,
  devIndicators: false,
  reactStrictMode: true,
  // `npm run types` checks them; here it would be done a second time.
  typescript: { ignoreBuildErrors: true },
};

export default config;
