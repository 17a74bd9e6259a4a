/** A line of a few dozen points without axes; decoration beside its number. */
export function Sparkline({ values, width = 96, height = 22, range }: { values: (number | null)[]; width?: number; height?: number; range?: readonly [number, number] }) {
  const known = values.filter((value): value is number => value !== null);
  if (known.length < 2) return <span className="inline-block text-faint" style={{ width }} />;
  const low = range?.[0] ?? Math.min(...known);
  const high = range?.[1] ?? Math.max(...known);
  const at = (value: number, i: number) => `${((i / (values.length - 1)) * (width - 2) + 1).toFixed(1)},${(height - 2 - ((value - low) / (high - low || 1)) * (height - 4)).toFixed(1)}`;
  const points = values.flatMap((value, i) => (value === null ? [] : [at(value, i)]));
  return (
    <svg width={width} height={height} aria-hidden="true" className="block overflow-visible text-accent">
      <polyline points={points.join(" ")} fill="none" stroke="currentColor" strokeWidth={1.4} strokeLinejoin="round" />
      <circle cx={points.at(-1)?.split(",")[0]} cy={points.at(-1)?.split(",")[1]} r={1.8} fill="currentColor" />
    </svg>
  );
}
