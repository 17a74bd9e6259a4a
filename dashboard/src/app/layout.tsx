import "@fontsource-variable/inter";
import "@fontsource-variable/jetbrains-mono";
import "./globals.css";
import type { Metadata, Viewport } from "next";
import { connection } from "next/server";
import type { ReactNode } from "react";
import { Providers } from "./providers";
import { Shell } from "@/ui/shell/Shell";

export const metadata: Metadata = { title: { default: "Skyscale", template: "%s · Skyscale" }, description: "Train language models on tasks whose answers can be checked." };
export const viewport: Viewport = { width: "device-width", initialScale: 1, themeColor: [{ media: "(prefers-color-scheme: dark)", color: "#0f1012" }, { color: "#fafaf9" }] };

export default async function RootLayout({ children }: { children: ReactNode }) {
  // Rendered per request, for the nonce of its scripts (`src/proxy.ts`). The static export has no server and no nonce.
  if (process.env.SKYSCALE_EXPORT !== "1") await connection();
  return (
    <html lang="en" suppressHydrationWarning>
      <head>
        {/* Blocking on purpose: it decides the theme before the first paint. */}
        <script src="/theme.js" />
      </head>
      <body>
        <Providers>
          <Shell>{children}</Shell>
        </Providers>
      </body>
    </html>
  );
}
