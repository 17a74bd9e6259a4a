"use client";

import { useEffect, useState, type RefCallback } from "react";

/** How far outside of the window something counts as near: a turn of the wheel. */
const MARGIN_PX = 200;

/** Whether an element is in the window or close to it, and the ref that it needs. */
export function useIsNear<E extends HTMLElement>(): [RefCallback<E>, boolean] {
  const [element, setElement] = useState<E | null>(null);
  const [isNear, setNear] = useState(false);
  useEffect(() => {
    if (!element) return;
    const observer = new IntersectionObserver((entries) => setNear(entries.at(-1)?.isIntersecting ?? false), { rootMargin: `${MARGIN_PX}px` });
    observer.observe(element);
    return () => observer.disconnect();
  }, [element]);
  return [setElement, isNear];
}
