/**
 * So many attempts per key and window. Pure: the clock is passed in. Keys are forgotten when their window ends, and the
 * oldest when there are too many, so that a flood of keys costs bounded memory.
 */
const MAX_KEYS = 10_000;

export class Limiter {
  private readonly counts = new Map<string, { since: number; count: number }>();

  constructor(
    readonly most: number,
    readonly windowMs: number,
  ) {}

  /** Milliseconds until this key may try again; 0 for now. */
  waitMs(key: string, now: number): number {
    const entry = this.counts.get(key);
    if (!entry || entry.count < this.most || now - entry.since >= this.windowMs) return 0;
    return this.windowMs - (now - entry.since);
  }

  /** Count one attempt. */
  count(key: string, now: number): void {
    const entry = this.counts.get(key);
    const isOld = !entry || now - entry.since >= this.windowMs;
    this.counts.delete(key);
    this.counts.set(key, isOld ? { since: now, count: 1 } : { since: entry.since, count: entry.count + 1 });
    for (const oldest of this.counts.keys()) {
      if (this.counts.size <= MAX_KEYS) break;
      this.counts.delete(oldest);
    }
  }

  /** The key did what it should: its count begins anew. */
  clear(key: string): void {
    this.counts.delete(key);
  }
}
