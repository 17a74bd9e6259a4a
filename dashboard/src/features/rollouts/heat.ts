/** How a token is coloured: by how surprised the model was, or by the version that sampled it. Pure. */
export type Overlay = "none" | "logprob" | "version";

/** From this many nats on a token is fully coloured: its probability was below 2 %. */
const FULL_NATS = 4;

/** 0 for a certain token to 1 for a very surprising one. */
export function surprise(logprob: number): number {
  return Math.min(1, Math.max(0, -logprob / FULL_NATS));
}

/** The colour behind a token as CSS, or nothing. */
export function heat(overlay: Overlay, logprob: number, version: number, versions: { first: number; last: number }): string | undefined {
  if (overlay === "logprob") return tint("--bad", surprise(logprob) * 0.7);
  if (overlay === "version") return tint(`--s${((version - versions.first) % 8) + 1}`, 0.28);
  return undefined;
}

function tint(color: string, strength: number): string | undefined {
  return strength < 0.02 ? undefined : `color-mix(in srgb, var(${color}) ${Math.round(strength * 100)}%, transparent)`;
}

export interface Span {
  text: string;
  logprob: number;
  version: number;
  index: number;
}

/** The tokens of a completion as they are drawn; without strings each is shown by its id. */
export function spansOf(tokens: { ids: number[]; strings: string[] | null; logprobs: number[]; versions: number[] }): Span[] {
  return tokens.ids.map((id, index) => ({
    text: tokens.strings?.[index] ?? `⟨${id}⟩`,
    logprob: tokens.logprobs[index] ?? 0,
    version: tokens.versions[index] ?? 0,
    index,
  }));
}

/** What a token says of itself: "return": 93.1 %, version 12. */
export function tokenTitle({ text, logprob, version, index }: Span): string {
  return `token ${index}: ${JSON.stringify(text)}, probability ${(Math.exp(logprob) * 100).toPrecision(3)} %, log ${logprob.toFixed(3)}, version ${version}`;
}
