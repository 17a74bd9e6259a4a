"use client";

import { useQuery } from "@tanstack/react-query";
import { readJson } from "@/client/api";
import type { Inventory } from "./inventory";

/** What providers offer; asked again once a minute, since they bill nobody for a question but count it. */
export function useInventory() {
  return useQuery({ queryKey: ["gpus"], queryFn: () => readJson<Inventory>("/api/gpus"), refetchInterval: 60_000 });
}
