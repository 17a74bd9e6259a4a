"use client";

import type { ReactNode } from "react";
import { Button } from "./Button";
import { Dialog } from "./Dialog";
import { ErrorState } from "./states";

interface Props {
  title: string;
  action: string;
  isOpen: boolean;
  isBusy: boolean;
  error: Error | null;
  onConfirm: () => void;
  onClose: () => void;
  children: ReactNode;
}

/** Asks before something that cannot be undone: says what is lost and what is kept. */
export function Confirm({ title, action, isOpen, isBusy, error, onConfirm, onClose, children }: Props) {
  return (
    <Dialog title={title} isOpen={isOpen} onClose={onClose} width={460}>
      <div className="p-4">{children}</div>
      {error && <ErrorState error={error} />}
      <footer className="flex justify-end gap-2 border-t px-4 py-3">
        <Button onClick={onClose}>Cancel</Button>
        <Button look="danger" isBusy={isBusy} onClick={onConfirm} autoFocus>
          {action}
        </Button>
      </footer>
    </Dialog>
  );
}
