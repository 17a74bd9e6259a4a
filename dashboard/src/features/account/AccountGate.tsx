"use client";

import { useQueryClient } from "@tanstack/react-query";
import { useEffect, type ReactNode } from "react";
import { ApiError } from "@/client/errors";
import { useAccount } from "./useAccount";

const SIGNED_OUT = new Set(["sign_in_required", "session_expired"]);
const OPEN = /^\/(sign-in|setup)\/?$/;

/** Leads to sign-in when the server says that the session has ended, and back afterwards. */
export function AccountGate({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  // Also for a page that only listens to its stream: a session may end while it is open.
  const { data } = useAccount();
  const isSignedOut = Boolean(data && !data.person);
  const hadSession = data?.hadSession ?? false;
  useEffect(() => {
    if (isSignedOut && !OPEN.test(window.location.pathname)) window.location.assign(signInUrl(window.location, hadSession));
  }, [isSignedOut, hadSession]);
  useEffect(() => {
    const leaveIfSignedOut = (error: unknown) => {
      if (!(error instanceof ApiError) || !SIGNED_OUT.has(error.code) || OPEN.test(window.location.pathname)) return;
      window.location.assign(signInUrl(window.location, error.code === "session_expired"));
    };
    const queries = client.getQueryCache().subscribe((event) => event.type === "updated" && event.action.type === "error" && leaveIfSignedOut(event.action.error));
    const mutations = client.getMutationCache().subscribe((event) => event.type === "updated" && event.action.type === "error" && leaveIfSignedOut(event.action.error));
    return () => {
      queries();
      mutations();
    };
  }, [client]);
  return children;
}

function signInUrl({ pathname, search }: Location, hasEnded: boolean): string {
  const query = new URLSearchParams();
  if (pathname !== "/" || search) query.set("next", pathname + search);
  if (hasEnded) query.set("ended", "1");
  return `/sign-in${query.size ? `?${query}` : ""}`;
}
