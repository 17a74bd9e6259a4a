interface Props {
  /** In the order of their colours. */
  ids: string[];
  highlighted: string | null;
  onHighlight: (id: string | null) => void;
  onRemove: (id: string) => void;
}

/** The legend of all charts at once: pointing at a run brings its lines to the front, a click takes it away. */
export function ComparedRuns({ ids, highlighted, onHighlight, onRemove }: Props) {
  return (
    <ul aria-label="Compared runs" className="flex flex-wrap gap-1.5">
      {ids.map((id, i) => (
        <li key={id}>
          <button
            type="button"
            title="Take it out of the comparison"
            aria-label={`Take ${id} out of the comparison`}
            className={`inline-flex h-6 items-center gap-1.5 rounded-md border px-2 font-mono text-2xs ${highlighted === id ? "border-line-strong bg-sunken" : "hover:bg-sunken"}`}
            onMouseEnter={() => onHighlight(id)}
            onMouseLeave={() => onHighlight(null)}
            onFocus={() => onHighlight(id)}
            onBlur={() => onHighlight(null)}
            onClick={() => onRemove(id)}
          >
            <span className="size-2 rounded-full" style={{ background: `var(--s${(i % 8) + 1})` }} /> {id} <span aria-hidden="true">×</span>
          </button>
        </li>
      ))}
    </ul>
  );
}
