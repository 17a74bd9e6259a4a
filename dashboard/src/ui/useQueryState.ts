"use client";

import { useSearchParams } from "next/navigation";
import { useCallback, useEffect, useState } from "react";

/** One value of the page's address, so that what is shown can be shared and survives a reload. `clears` is another value
 * that means nothing any more once this one changes. */
export function useQueryState(name: string, initial: string, clears = ""): [string, (value: string) => void] {
  const params = useSearchParams();
  const current = params.get(name) ?? initial;
  // Next follows the address when it has time; what was chosen is shown at once.
  const [ahead, setAhead] = useState<{ from: string; to: string } | null>(null);
  useEffect(() => setAhead(null), [current]);
  const set = useCallback(
    (value: string) => {
      const next = new URLSearchParams(window.location.search);
      if (value === initial) next.delete(name);
      else next.set(name, value);
      if (clears) next.delete(clears);
      setAhead({ from: current, to: value });
      replaceQuery(next);
    },
    [name, initial, clears, current],
  );
  return [ahead?.from === current ? ahead.to : current, set];
}

/** Change the address of the page that is shown. No server is asked: Next follows the history by itself. */
export function replaceQuery(params: URLSearchParams): void {
  const { pathname } = window.location;
  window.history.replaceState(null, "", params.size > 0 ? `${pathname}?${params}` : pathname);
}
