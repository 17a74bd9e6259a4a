// Starts the standalone build on loopback; SKYSCALE_API_URL says where the control plane is.
import "./preload.cjs";

process.env.HOSTNAME = process.env.DASHBOARD_HOST ?? "127.0.0.1";
process.env.PORT ??= "3000";
await import("../.next/standalone/server.js");
