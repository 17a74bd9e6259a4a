import { duration, number } from "@/ui/format";
import { KINDS, median, type Result } from "./measure";

export function ResultsTable({ results }: { results: Result[] }) {
  return (
    <div className="max-h-[50dvh] overflow-auto" tabIndex={0} role="region" aria-label="Measurements">
      <table className="table">
        <thead>
          <tr>
            <th>When</th>
            <th>What</th>
            <th>Medians</th>
            <th className="text-right">Rate</th>
          </tr>
        </thead>
        <tbody>
          {results.map((result) => (
            <tr key={`${result.kind} ${result.at}`}>
              <td className="num text-muted">{new Date(result.at).toLocaleString("en-GB")}</td>
              <td>{KINDS[result.kind].title}</td>
              <td className="num">{result.samples.map(({ name, ms }) => `${name.toLowerCase()} ${duration((median(ms) ?? 0) / 1000)}`).join(", ")}</td>
              <td className="num text-right">{result.rate ? `${number(result.rate.value)} ${result.rate.unit}` : "–"}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
