"use client";

import type { Schemas } from "@/client/api";
import { Empty } from "@/ui/states";

export function RolloutsTab({ run }: { run: Schemas["RunView"] }) {
  return <Empty title={`No rollouts of ${run.run_id} yet`} />;
}
