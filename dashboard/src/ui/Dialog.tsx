"use client";

import { useEffect, useId, useRef, type ReactNode } from "react";
import { Icon } from "./Icon";

interface Props {
  title: string;
  isOpen: boolean;
  onClose: () => void;
  children: ReactNode;
  width?: number;
}

/** A modal dialog: the platform's own, which keeps the focus inside, closes on Escape and gives the focus back. */
export function Dialog({ title, isOpen, onClose, children, width = 560 }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    if (isOpen && !dialog.current?.open) dialog.current?.showModal();
    if (!isOpen && dialog.current?.open) dialog.current.close();
  }, [isOpen]);
  return (
    <dialog
      ref={dialog}
      aria-labelledby={titleId}
      onClose={onClose}
      onClick={(event) => event.target === dialog.current && onClose()}
      style={{ width: `min(${width}px, calc(100vw - 24px))` }}
      className="m-auto max-h-[calc(100dvh-24px)] overflow-hidden rounded-xl border bg-panel p-0 text-text shadow-2xl backdrop:bg-black/40"
    >
      {isOpen && (
        <div className="flex max-h-[calc(100dvh-26px)] flex-col">
          <header className="flex items-center justify-between gap-4 border-b px-4 py-2.5">
            <h2 id={titleId} className="text-base font-semibold">
              {title}
            </h2>
            <button type="button" aria-label="Close" className="-mr-1 rounded-md p-1.5 text-muted hover:bg-sunken hover:text-text" onClick={onClose}>
              <Icon name="close" />
            </button>
          </header>
          <div className="min-h-0 overflow-y-auto">{children}</div>
        </div>
      )}
    </dialog>
  );
}
