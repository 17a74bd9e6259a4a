/** How far a tab has read each of its topics, as one short text: the id of the last message of a stream. */
export type Cursors = Record<string, string>;

export function encodeCursors(cursors: Cursors): string {
  return new URLSearchParams(cursors).toString();
}

export function decodeCursors(text: string): Cursors {
  return Object.fromEntries(new URLSearchParams(text));
}
