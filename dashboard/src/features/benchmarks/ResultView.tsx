import { duration, number } from "@/ui/format";
import { median, type Result } from "./measure";

/** The medians one after the other, as a waterfall; every try is a dot. */
export function ResultView({ result }: { result: Result }) {
  const medians = result.samples.map(({ ms }) => median(ms) ?? 0);
  const longest = Math.max(...result.samples.flatMap(({ ms }) => ms), 1);
  return (
    <div className="mt-auto flex flex-col gap-2 p-4">
      {result.samples.map(({ name, ms }, i) => (
        <div key={name} className="grid grid-cols-[92px_1fr_72px] items-center gap-3">
          <span className="truncate text-muted">{name}</span>
          <span className="relative h-4" aria-hidden="true">
            <span className="absolute inset-y-1 left-0 rounded bg-accent/30" style={{ width: `${(100 * (medians[i] ?? 0)) / longest}%` }} />
            {ms.map((each, n) => (
              <span key={n} className="absolute top-1.5 size-1 rounded-full bg-accent" style={{ left: `calc(${(100 * each) / longest}% - 2px)` }} />
            ))}
          </span>
          <span className="num text-right font-medium">{duration((medians[i] ?? 0) / 1000)}</span>
        </div>
      ))}
      <p className="num text-xs text-muted">
        Median of {result.samples[0]?.ms.length ?? 0} tries
        {result.rate && (
          <>
            ; <span className="font-medium text-text">{number(result.rate.value)}</span> {result.rate.unit}
          </>
        )}
        , {new Date(result.at).toLocaleString("en-GB")}
      </p>
    </div>
  );
}
