"use client";

import { createContext, useContext, useEffect, useState, useSyncExternalStore, type ReactNode } from "react";
import { Connection, type LinkState } from "./connection";

const LiveContext = createContext<Connection | null>(null);

/** One connection for the whole tab. */
export function LiveProvider({ children }: { children: ReactNode }) {
  const [connection] = useState(() => new Connection());
  useEffect(() => () => connection.close(), [connection]);
  return <LiveContext value={connection}>{children}</LiveContext>;
}

export function useConnection(): Connection {
  const connection = useContext(LiveContext);
  if (connection === null) throw new Error("useConnection outside LiveProvider");
  return connection;
}

export function useLinkState(): LinkState {
  const connection = useConnection();
  return useSyncExternalStore(
    (onChange) => connection.watch(onChange),
    () => connection.state,
    () => "idle",
  );
}
