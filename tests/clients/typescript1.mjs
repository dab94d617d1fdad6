// The TypeScript SDK 1 (2025-11-25) against the gateway.

import { check, load } from "./common.mjs";

const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
const { StreamableHTTPClientTransport } = await load("@modelcontextprotocol/sdk/client/streamableHttp.js");

const headers = { Authorization: `Bearer ${process.env.TOKEN}` };
const transport = new StreamableHTTPClientTransport(new URL(process.env.GATEWAY), { requestInit: { headers } });
const client = new Client({ name: "e2e", version: "1" });
await client.connect(transport);
await check(
  () => client.listTools(),
  (name, args) => client.callTool({ name, arguments: args }),
);
await client.close();
