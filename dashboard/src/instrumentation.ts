/** Before the first request: a wrong environment ends the server with one plain line, and the accounts' tables are made. */
export async function register(): Promise<void> {
  if (process.env.NEXT_RUNTIME !== "nodejs" || process.env.NEXT_PHASE === "phase-production-build") return;
  const { prepareAccounts } = await import("./server/accounts/prepare");
  await prepareAccounts();
}
