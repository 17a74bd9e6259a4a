"use client";

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import { ApiError } from "@/client/errors";
import { AccountGate } from "@/features/account/AccountGate";
import { LiveProvider } from "@/live/LiveProvider";

/** What every page shares: the cache of replies and the one live stream. */
export function Providers({ children }: { children: ReactNode }) {
  const [queries] = useState(newQueryClient);
  return (
    <QueryClientProvider client={queries}>
      <AccountGate>
        <LiveProvider>{children}</LiveProvider>
      </AccountGate>
    </QueryClientProvider>
  );
}

function newQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 2_000,
        // What the server refuses stays refused; what it failed to answer is asked again.
        retry: (count, error) => !(error instanceof ApiError && error.status < 500) && count < 2,
        retryDelay: (count) => Math.min(500 * 2 ** count, 4_000),
        networkMode: "always",
      },
      mutations: { networkMode: "always" },
    },
  });
}
