"use client";

import { useQuery } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { readAccount, type AccountState, type Role } from "@/client/account";

export const ACCOUNT = ["account"];
const LADDER: Role[] = ["viewer", "operator", "admin"];

/**
 * Who is signed in; `data` is null where there are no accounts (the read-only export). A part of a page that React wakes
 * later than the rest sees nothing until it is awake, as the server did: else its first picture would differ.
 */
export function useAccount(): { data: AccountState | null | undefined; error: Error | null; refetch: () => unknown } {
  const { data, error, refetch } = useQuery({ queryKey: ACCOUNT, queryFn: readAccount, staleTime: 30_000, refetchInterval: 60_000 });
  const isAwake = useSyncExternalStore(never, () => true, () => false);
  return isAwake ? { data, error, refetch } : { data: undefined, error: null, refetch };
}

/** Whether the person's role reaches this far; for what a page offers. What is allowed, the server decides. */
export function useMay(role: Role): boolean {
  const { data } = useAccount();
  return data?.person ? LADDER.indexOf(data.person.role) >= LADDER.indexOf(role) : false;
}

function never(): () => void {
  return () => undefined;
}
