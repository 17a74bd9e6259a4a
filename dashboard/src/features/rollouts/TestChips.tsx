import type { Schemas } from "@/client/api";
import { words } from "@/ui/format";

/** One small mark per hidden test; its end in words on hover and for screen readers. */
export function TestChips({ tests }: { tests: Schemas["TestResult"][] }) {
  return (
    <ol aria-label="Tests" className="flex flex-wrap gap-1">
      {tests.map(({ passed, status, detail }, i) => (
        <li key={i} title={`Test ${i + 1}: ${words(status)}${detail ? `: ${detail}` : ""}`} className={`num flex h-5 items-center rounded px-1.5 text-2xs font-medium ${passed ? "bg-good-soft text-good" : "bg-bad-soft text-bad"}`}>
          {passed ? "✓" : "✗"} {i + 1}
          {!passed && <span className="ml-1 font-normal">{words(status)}</span>}
        </li>
      ))}
    </ol>
  );
}
