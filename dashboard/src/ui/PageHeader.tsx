import type { ReactNode } from "react";

interface Props {
  title: ReactNode;
  subtitle?: ReactNode;
  children?: ReactNode;
}

/** The top of a page: its name, one line about it, and its actions on the right. */
export function PageHeader({ title, subtitle, children }: Props) {
  return (
    <header className="flex flex-wrap items-center justify-between gap-x-6 gap-y-3 px-4 pt-5 pb-4 md:px-6">
      <div className="min-w-0">
        <h1 className="truncate text-[17px] leading-6 font-semibold tracking-tight">{title}</h1>
        {subtitle && <p className="mt-0.5 text-muted">{subtitle}</p>}
      </div>
      {children && <div className="flex flex-wrap items-center gap-2">{children}</div>}
    </header>
  );
}
