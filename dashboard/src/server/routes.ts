/** Which calls the proxy knows. Pure. A path of which a part could be read as two (an encoded slash) is unknown. */
import { ROUTES } from "./routeTable";

const AMBIGUOUS = /%2f|%5c|%00|\\/i;

const known = ROUTES.map((route) => {
  const [method = "", template = ""] = route.split(" ");
  return { method, pattern: new RegExp(`^${template.split(/(\{\w+\})/).map(part).join("")}$`) };
});

export function isKnownRoute(method: string, pathname: string): boolean {
  if (AMBIGUOUS.test(pathname)) return false;
  const asked = method === "HEAD" ? "GET" : method;
  return known.some((route) => route.method === asked && route.pattern.test(pathname));
}

function part(text: string): string {
  if (text === "{path}") return ".+"; // a file's path within a sandbox has any number of parts
  return text.startsWith("{") ? "[^/]+" : text.replace(/[.*+?^$()|[\]\\]/g, "\\$&");
}
