"use client";

import { useQuery } from "@tanstack/react-query";
import { readAccount, type Role } from "@/client/account";

export const ACCOUNT = ["account"];
const LADDER: Role[] = ["viewer", "operator", "admin"];

/** Who is signed in; `data` is null where there are no accounts (the read-only export). */
export function useAccount() {
  return useQuery({ queryKey: ACCOUNT, queryFn: readAccount, staleTime: 30_000, refetchInterval: 60_000 });
}

/** Whether the person's role reaches this far; for what a page offers. What is allowed, the server decides. */
export function useMay(role: Role): boolean {
  const { data } = useAccount();
  return data?.person ? LADDER.indexOf(data.person.role) >= LADDER.indexOf(role) : false;
}
