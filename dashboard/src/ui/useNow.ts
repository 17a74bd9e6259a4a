"use client";

import { startTransition, useEffect, useState } from "react";

interface Ticker {
  timer: ReturnType<typeof setInterval>;
  listeners: Set<(now: number) => void>;
}

/** One timer for everybody who wants the time equally often: a table has hundreds of rows. */
const tickers = new Map<number, Ticker>();

/** The time, again every `everyMs`; 0 on the server, so that both render alike. */
export function useNow(everyMs = 5_000): number {
  const [now, setNow] = useState(0);
  useEffect(() => {
    setNow(Date.now());
    return listen(everyMs, setNow);
  }, [everyMs]);
  return now;
}

function listen(everyMs: number, listener: (now: number) => void): () => void {
  const ticker = tickers.get(everyMs) ?? start(everyMs);
  ticker.listeners.add(listener);
  return () => {
    ticker.listeners.delete(listener);
    if (ticker.listeners.size > 0) return;
    clearInterval(ticker.timer);
    tickers.delete(everyMs);
  };
}

function start(everyMs: number): Ticker {
  const listeners = new Set<(now: number) => void>();
  const tick = () => startTransition(() => listeners.forEach((listener) => listener(Date.now())));
  const ticker = { listeners, timer: setInterval(tick, everyMs) };
  tickers.set(everyMs, ticker);
  return ticker;
}
