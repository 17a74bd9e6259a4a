"use client";

import { useState } from "react";
import { Icon } from "./Icon";

export function CopyButton({ text, label }: { text: string; label: string }) {
  const [isCopied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1_500);
  };
  return (
    <button type="button" aria-label={isCopied ? "Copied" : label} title={label} onClick={() => void copy()} className="inline-flex rounded p-1 align-middle text-faint hover:bg-sunken hover:text-text">
      <Icon name={isCopied ? "check" : "copy"} size={14} />
    </button>
  );
}
