"use client";

import { usePathname } from "next/navigation";
import { useEffect, useState, type ReactNode } from "react";
import { Icon } from "@/ui/Icon";
import { AccountMenu } from "./AccountMenu";
import { KeyboardHelp } from "./KeyboardHelp";
import { LiveBadge } from "./LiveBadge";
import { NavLinks } from "./NavLinks";
import { SpendingMeter } from "./SpendingMeter";
import { ThemeButton } from "./ThemeButton";

/** Pages that stand alone: sign-in has no navigation. */
const BARE = ["/sign-in", "/sign-up", "/setup"];

/** Navigation on the left, the page on the right; below 768 px the navigation is a drawer. */
export function Shell({ children }: { children: ReactNode }) {
  const pathname = usePathname();
  const [isDrawerOpen, setDrawerOpen] = useState(false);
  useEffect(() => setDrawerOpen(false), [pathname]);
  if (BARE.some((path) => pathname.startsWith(path))) return <main id="main">{children}</main>;
  return (
    <div className="min-h-dvh md:grid md:grid-cols-[212px_minmax(0,1fr)]">
      <a href="#main" className="sr-only focus:not-sr-only focus:fixed focus:z-50 focus:m-2 focus:rounded-md focus:bg-panel focus:px-3 focus:py-2">
        Skip to the page
      </a>
      <TopBar isOpen={isDrawerOpen} onToggle={() => setDrawerOpen(!isDrawerOpen)} />
      {isDrawerOpen && <div className="fixed inset-0 z-30 bg-black/30 md:hidden" onClick={() => setDrawerOpen(false)} />}
      <aside
        className={`${isDrawerOpen ? "flex" : "hidden"} fixed inset-y-0 left-0 z-40 w-[240px] flex-col border-r bg-panel md:sticky md:top-0 md:flex md:h-dvh md:w-auto`}
        aria-label="Navigation"
      >
        <Brand />
        <NavLinks />
        <div className="mt-auto flex flex-col gap-1 border-t p-2">
          <SpendingMeter />
          <LiveBadge />
          <div className="flex items-center gap-1">
            <AccountMenu />
            <ThemeButton />
          </div>
        </div>
      </aside>
      <main id="main" tabIndex={-1} className="min-w-0 outline-none">
        {children}
      </main>
      <KeyboardHelp />
    </div>
  );
}

function Brand() {
  return (
    <div className="flex h-12 items-center gap-2 px-4 text-base font-semibold tracking-tight">
      <img src="/mark.svg" alt="" width={20} height={20} />
      Skyscale
    </div>
  );
}

function TopBar({ isOpen, onToggle }: { isOpen: boolean; onToggle: () => void }) {
  return (
    <header className="sticky top-0 z-20 flex h-12 items-center gap-2 border-b bg-panel px-3 md:hidden">
      <button type="button" className="-ml-1 rounded-md p-2" aria-label="Menu" aria-expanded={isOpen} onClick={onToggle}>
        <Icon name="menu" size={18} />
      </button>
      <span className="text-base font-semibold tracking-tight">Skyscale</span>
    </header>
  );
}
