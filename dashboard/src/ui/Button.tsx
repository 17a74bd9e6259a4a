import clsx from "clsx";
import type { ButtonHTMLAttributes } from "react";

const LOOKS = {
  primary: "border-transparent bg-accent text-on-accent hover:opacity-90",
  plain: "border-line-strong bg-panel text-text hover:bg-sunken",
  ghost: "border-transparent bg-transparent text-muted hover:bg-sunken hover:text-text",
  danger: "border-transparent bg-bad text-on-accent hover:opacity-90",
};

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  look?: keyof typeof LOOKS;
  isBusy?: boolean;
}

export function Button({ look = "plain", isBusy = false, className, children, disabled, ...rest }: Props) {
  return (
    <button
      type="button"
      disabled={disabled || isBusy}
      aria-busy={isBusy || undefined}
      className={clsx("inline-flex h-8 items-center justify-center gap-1.5 rounded-md border px-3 font-medium whitespace-nowrap disabled:opacity-50", LOOKS[look], className)}
      {...rest}
    >
      {isBusy && <span className="size-3 animate-spin rounded-full border-2 border-current border-r-transparent" />}
      {children}
    </button>
  );
}
