// Clients of npm that ask for untrusted content to be marked, by a capability. Prints what a call gave, and what the
// gateway said of the capability. The first argument says which client, the second how to mark.

import { load } from "./common.mjs";

const [which, mode] = process.argv.slice(2);
const spotlight = "io.sallyport/spotlight";
const info = { name: "e2e", version: "1" };
const capabilities = { extensions: { [spotlight]: { mode } } };
const options = { requestInit: { headers: { Authorization: `Bearer ${process.env.TOKEN}` } } };

async function connected() {
  const url = new URL(process.env.GATEWAY);
  if (which === "sdk1") {
    const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
    const { StreamableHTTPClientTransport } = await load("@modelcontextprotocol/sdk/client/streamableHttp.js");
    const client = new Client(info, { capabilities });
    await client.connect(new StreamableHTTPClientTransport(url, options));
    return client;
  }
  const { Client, StreamableHTTPClientTransport } = await load("@modelcontextprotocol/client");
  const client = new Client(info, { capabilities, versionNegotiation: { mode: { pin: "2026-07-28" } } });
  await client.connect(new StreamableHTTPClientTransport(url, options));
  return client;
}

const client = await connected();
const answer = await client.callTool({ name: process.env.TOOL, arguments: JSON.parse(process.env.ARGUMENTS) });
const offered = client.getServerCapabilities().extensions?.[spotlight];
console.log(JSON.stringify({ answer, offered }));
await client.close();
