/** Where to go after sign-in: a path of this site, never another one's. Pure. */
export function safeNext(next: string | null): string {
  if (!next || !next.startsWith("/") || next.startsWith("//") || next.includes("\\")) return "/";
  return /^\/(sign-in|setup)(\/|\?|$)/.test(next) ? "/" : next;
}
