"use client";

import Link from "next/link";
import { usePathname } from "next/navigation";
import { Icon } from "@/ui/Icon";
import { PAGES, isOpen } from "./navigation";

export function NavLinks() {
  const pathname = usePathname();
  return (
    <nav className="flex flex-col gap-0.5 p-2" aria-label="Pages">
      {PAGES.map(({ href, label, icon }) => {
        const isCurrent = isOpen(href, pathname);
        return (
          <Link
            key={href}
            href={href}
            aria-current={isCurrent ? "page" : undefined}
            className={`flex h-8 items-center gap-2.5 rounded-md px-2 ${isCurrent ? "bg-sunken font-medium text-text" : "text-muted hover:bg-sunken hover:text-text"}`}
          >
            <Icon name={icon} />
            {label}
          </Link>
        );
      })}
    </nav>
  );
}
