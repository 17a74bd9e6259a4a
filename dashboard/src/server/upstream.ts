/** Where the control plane is. Read at run time, so that a prebuilt server can be pointed anywhere. */
export function controlPlaneUrl(): string {
  return (process.env.SKYSCALE_API_URL ?? process.env.SKYSCALE_CONTROL_PLANE_URL ?? "http://127.0.0.1:8080").replace(/\/+$/, "");
}
