"use client";

import Link from "next/link";
import { useMutation } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { signOut } from "@/client/account";
import { useAccount } from "@/features/account/useAccount";
import { Icon } from "@/ui/Icon";

const ITEM = "flex h-8 w-full items-center rounded-md px-2 text-left hover:bg-sunken focus-visible:bg-sunken";

/** Who is signed in, and the way to their settings and out. Without accounts everybody on this machine only reads. */
export function AccountMenu() {
  const { data } = useAccount();
  const menu = useRef<HTMLDetailsElement>(null);
  const leave = useMutation({ mutationFn: signOut, onSuccess: () => window.location.assign("/sign-in") });
  useEffect(() => {
    const close = (event: Event) => {
      const isOutside = event instanceof KeyboardEvent ? event.key === "Escape" : !menu.current?.contains(event.target as Node);
      if (isOutside && menu.current) menu.current.open = false;
    };
    document.addEventListener("click", close);
    document.addEventListener("keydown", close);
    return () => {
      document.removeEventListener("click", close);
      document.removeEventListener("keydown", close);
    };
  }, []);
  if (data === null) return <span className="flex h-8 flex-1 items-center px-2 text-muted">Read only</span>;
  const person = data?.person;
  return (
    <details ref={menu} className="relative min-w-0 flex-1" data-testid="account-menu">
      <summary aria-label={person ? `Account of ${person.name}` : "Account"} className="flex h-8 list-none items-center gap-2.5 rounded-md px-2 text-muted hover:bg-sunken hover:text-text [&::-webkit-details-marker]:hidden">
        <Icon name="user" />
        <span className="truncate">{person?.name ?? ""}</span>
      </summary>
      <div className="absolute bottom-10 left-0 z-50 w-56 rounded-lg border bg-panel p-1 shadow-xl">
        {person && (
          <div className="border-b px-2 pt-1 pb-2">
            <p className="truncate font-medium">{person.email}</p>
            <p className="text-xs text-muted">{person.role}</p>
          </div>
        )}
        <Link href="/settings" className={`${ITEM} mt-1`} onClick={() => menu.current && (menu.current.open = false)}>
          Account and settings
        </Link>
        <Link href="/settings?tab=keys" className={ITEM} onClick={() => menu.current && (menu.current.open = false)}>
          API keys
        </Link>
        <button type="button" className={ITEM} onClick={() => leave.mutate()}>
          Sign out
        </button>
      </div>
    </details>
  );
}
