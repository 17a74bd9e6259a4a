/** Text in which `code` is set as code. */
export function Prose({ text }: { text: string }) {
  return text.split("`").map((part, i) =>
    i % 2 === 1 ? (
      <code key={i} className="font-mono text-2xs">
        {part}
      </code>
    ) : (
      part
    ),
  );
}
