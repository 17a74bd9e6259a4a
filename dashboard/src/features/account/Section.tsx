import type { ReactNode } from "react";

/** A titled part of a settings page. */
export function Section({ title, about, action, children }: { title: string; about?: ReactNode; action?: ReactNode; children: ReactNode }) {
  return (
    <section className="mb-8">
      <div className="mb-3 flex flex-wrap items-end justify-between gap-3">
        <div className="min-w-0">
          <h2 className="text-base font-semibold">{title}</h2>
          {about && <p className="text-muted">{about}</p>}
        </div>
        {action}
      </div>
      {children}
    </section>
  );
}
