"use client";

import { useEffect, useState } from "react";

/** The time, again every `everyMs`; 0 on the server, so that both render alike. */
export function useNow(everyMs = 5_000): number {
  const [now, setNow] = useState(0);
  useEffect(() => {
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
