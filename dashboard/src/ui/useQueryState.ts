"use client";

import { usePathname, useRouter, useSearchParams } from "next/navigation";
import { useCallback } from "react";

/** One value of the page's address, so that what is shown can be shared and survives a reload. `clears` is another value
 * that means nothing any more once this one changes. */
export function useQueryState(name: string, initial: string, clears = ""): [string, (value: string) => void] {
  const router = useRouter();
  const pathname = usePathname();
  const params = useSearchParams();
  const set = useCallback(
    (value: string) => {
      const next = new URLSearchParams(window.location.search);
      if (value === initial) next.delete(name);
      else next.set(name, value);
      if (clears) next.delete(clears);
      const query = next.toString();
      router.replace(query ? `${pathname}?${query}` : pathname, { scroll: false });
    },
    [router, pathname, name, initial, clears],
  );
  return [params.get(name) ?? initial, set];
}
