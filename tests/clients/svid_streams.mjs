// Two workloads hold a WebSocket and a stream of subscriptions open each, by nothing but their certificates. Says when all
// are open; and when both of `GONE` have ended, what has and what is left.

import { readFileSync } from "node:fs";
import https from "node:https";

import { load } from "./common.mjs";

const { default: WebSocket } = await load("ws");
const { GATEWAY, AUTHORITY } = process.env;
const ca = readFileSync(AUTHORITY);
const left = new Set();
const ended = new Set();
let opened = 0;

function isOpen(name) {
  left.add(name);
  opened += 1;
  if (opened === 4) console.log("open");
}

function isOver(name) {
  left.delete(name);
  ended.add(name);
  if (!ended.has("gone socket") || !ended.has("gone stream")) return;
  const list = (names) => [...names].sort().join(", ");
  // Whatever else ends with them, ends by now.
  setTimeout(() => {
    console.log(`ended: ${list(ended)}; left: ${list(left)}`);
    process.exit(0);
  }, 2000);
}

const meta = { "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {} };
const body = JSON.stringify({
  jsonrpc: "2.0",
  id: 1,
  method: "subscriptions/listen",
  params: { notifications: { toolsListChanged: true }, _meta: meta },
});
const headers = {
  "content-type": "application/json",
  accept: "application/json, text/event-stream",
  "mcp-protocol-version": "2026-07-28",
  "mcp-method": "subscriptions/listen",
};

for (const who of ["gone", "kept"]) {
  const [cert, key] = JSON.parse(process.env[who.toUpperCase()]).map((path) => readFileSync(path));
  const socket = new WebSocket(`${GATEWAY.replace("https:", "wss:")}/ws`, ["mcp"], { ca, cert, key });
  socket.on("open", () => isOpen(`${who} socket`));
  socket.on("error", (error) => console.error(who, error));
  socket.on("close", () => isOver(`${who} socket`));
  const request = https.request(`${GATEWAY}/mcp`, { method: "POST", ca, cert, key, headers, agent: false }, (response) => {
    response.once("data", () => isOpen(`${who} stream`));
    response.on("error", () => {});
    response.on("close", () => isOver(`${who} stream`));
  });
  request.on("error", (error) => console.error(who, error));
  request.end(body);
}
