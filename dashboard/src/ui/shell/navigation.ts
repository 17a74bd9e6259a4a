/** The pages, in the order of the navigation; `key` after `g` goes there. */
export const PAGES = [
  { href: "/", label: "Training", icon: "training", key: "t" },
  { href: "/problems", label: "Problems", icon: "problems", key: "p" },
  { href: "/templates", label: "Templates", icon: "templates", key: "e" },
  { href: "/faas", label: "Sandboxes", icon: "sandboxes", key: "s" },
  { href: "/gpus", label: "On-Demand GPUs", icon: "gpus", key: "o" },
  { href: "/benchmarks", label: "Load Speed", icon: "benchmarks", key: "l" },
  { href: "/settings", label: "Settings", icon: "settings", key: "c" },
] as const;

export type IconName = (typeof PAGES)[number]["icon"];

/** Whether this page, or one below it, is open. A run is part of Training. */
export function isOpen(href: string, pathname: string): boolean {
  const path = pathname.replace(/\/$/, "") || "/";
  if (href === "/") return path === "/" || path === "/run";
  return path === href || path.startsWith(`${href}/`);
}
