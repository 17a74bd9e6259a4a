// Loaded before Next's server (`node --require ./preload.cjs server.js`).
//
// - The client's address is taken from the socket, over whatever a client claims, so that counting attempts per address
//   means something. Behind a proxy of ours (SKYSCALE_TRUSTED_PROXY=1) it is the last hop that this proxy has written.
// - With SKYSCALE_ENDS_WITH_STDIN=1 the process ends when its parent does, which closes our stdin however it ends.
"use strict";
const http = require("node:http");

const emit = http.Server.prototype.emit;
http.Server.prototype.emit = function (event, request, ...rest) {
  if (event === "request" || event === "upgrade") request.headers["x-skyscale-client-ip"] = addressOf(request);
  return emit.call(this, event, request, ...rest);
};

// Next waits for open replies, and a live stream never ends by itself.
process.on("SIGTERM", () => setTimeout(() => process.exit(0), 1_000).unref());

function addressOf(request) {
  const own = (request.socket.remoteAddress ?? "unknown").replace(/^::ffff:/, "");
  if (process.env.SKYSCALE_TRUSTED_PROXY !== "1") return own;
  const hops = String(request.headers["x-forwarded-for"] ?? "").split(",");
  return hops[hops.length - 1].trim() || own;
}

if (process.env.SKYSCALE_ENDS_WITH_STDIN === "1") {
  process.stdin.on("end", () => process.exit(0));
  process.stdin.on("error", () => process.exit(0));
  process.stdin.resume();
}
