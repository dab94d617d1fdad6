// The TypeScript SDK 2 against the gateway.

import { check, load } from "./common.mjs";

const { Client, StreamableHTTPClientTransport } = await load("@modelcontextprotocol/client");

const headers = { Authorization: `Bearer ${process.env.TOKEN}` };
const transport = new StreamableHTTPClientTransport(new URL(process.env.GATEWAY), { requestInit: { headers } });
const client = new Client({ name: "e2e", version: "1" });
await client.connect(transport);
await check(
  () => client.listTools(),
  (name, args) => client.callTool({ name, arguments: args }),
);
await client.close();
