"use client";

import Link from "next/link";
import { Icon } from "@/ui/Icon";

/** Who is signed in. Without accounts everybody on this machine is the operator. */
export function AccountMenu() {
  return (
    <Link href="/settings" className="flex h-8 min-w-0 flex-1 items-center gap-2.5 rounded-md px-2 text-muted hover:bg-sunken hover:text-text">
      <Icon name="user" />
      <span className="truncate">Operator</span>
    </Link>
  );
}
