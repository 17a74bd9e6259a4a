import clsx from "clsx";
import { useId, type ReactNode } from "react";

export const INPUT = "h-8 w-full min-w-0 rounded-md border border-line-strong bg-panel px-2.5 text-text aria-invalid:border-bad disabled:opacity-60";

interface Props {
  label: string;
  hint?: ReactNode;
  error?: string | null | undefined;
  className?: string;
  /** Gets the attributes that join the control with its label, hint and error. */
  children: (control: { id: string; "aria-describedby": string; "aria-invalid": boolean }) => ReactNode;
}

/** A control with its name above and its meaning below. */
export function Field({ label, hint, error, className, children }: Props) {
  const id = useId();
  return (
    <div className={clsx("flex min-w-0 flex-col gap-1", className)}>
      <label htmlFor={id} className="font-medium">
        {label}
      </label>
      {children({ id, "aria-describedby": `${id}-hint`, "aria-invalid": Boolean(error) })}
      <p id={`${id}-hint`} className={clsx("text-xs", error ? "text-bad" : "text-muted")}>
        {error || hint}
      </p>
    </div>
  );
}
