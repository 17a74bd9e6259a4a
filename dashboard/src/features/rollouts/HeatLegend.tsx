import { heat, type Overlay } from "./heat";

const MOST_VERSIONS = 8;
/** Probabilities whose colours are shown. */
const STOPS = [1, 0.5, 0.2, 0.08, 0.02];

interface Props {
  overlay: Overlay;
  versions: { first: number; last: number };
}

/** What the colours behind tokens mean. */
export function HeatLegend({ overlay, versions }: Props) {
  if (overlay === "none") return null;
  if (overlay === "logprob")
    return (
      <p className="flex items-center gap-1.5 text-2xs text-muted" data-testid="heat-legend">
        certain
        <span className="flex overflow-hidden rounded border" aria-hidden="true">
          {STOPS.map((probability) => (
            <span key={probability} className="h-3 w-4" style={{ background: heat("logprob", Math.log(probability), 0, versions) }} />
          ))}
        </span>
        below 2 %
      </p>
    );
  const count = versions.last - versions.first + 1;
  const shown = Array.from({ length: Math.min(count, MOST_VERSIONS) }, (_, i) => versions.first + i);
  return (
    <p className="num flex flex-wrap items-center gap-1.5 text-2xs text-muted" data-testid="heat-legend">
      sampled by version
      {shown.map((version) => (
        <span key={version} className="rounded px-1 text-text" style={{ background: heat("version", 0, version, versions) }}>
          {version}
        </span>
      ))}
      {count > MOST_VERSIONS && `to ${versions.last}, colours repeat`}
    </p>
  );
}
