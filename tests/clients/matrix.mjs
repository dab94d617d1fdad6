// One client of npm against every endpoint in `ENDPOINTS`: lists the tools, calls one, prints what came.
//
// The argument says which client. What is printed, a line of JSON for each endpoint, is for the test to judge.

import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { load } from "./common.mjs";

/** What a transport of either SDK sends along. */
const options = ({ token }) => ({ requestInit: { headers: { Authorization: `Bearer ${token}` } } });
const info = { name: "e2e", version: "1" };

/** Lists and calls over a connected client of either SDK. */
async function used(client, transport, { tool, arguments: args }) {
  await client.connect(transport);
  const { tools } = await client.listTools();
  const result = await client.callTool({ name: tool, arguments: args });
  await client.close();
  return [tools.map((tool) => tool.name), JSON.stringify(result.content)];
}

async function sdk1(endpoint) {
  const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
  const { StreamableHTTPClientTransport } = await load("@modelcontextprotocol/sdk/client/streamableHttp.js");
  const transport = new StreamableHTTPClientTransport(new URL(endpoint.url), options(endpoint));
  return used(new Client(info), transport, endpoint);
}

async function sdk2(endpoint, negotiation) {
  const { Client, StreamableHTTPClientTransport } = await load("@modelcontextprotocol/client");
  const transport = new StreamableHTTPClientTransport(new URL(endpoint.url), options(endpoint));
  return used(new Client(info, negotiation), transport, endpoint);
}

/** A bridge for hosts that speak stdio alone, here the SDK's first line. */
async function mcpRemote(endpoint) {
  const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
  const { StdioClientTransport } = await load("@modelcontextprotocol/sdk/client/stdio.js");
  const program = `${process.env.NODE_MODULES}/mcp-remote/dist/proxy.js`;
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [program, endpoint.url, "--allow-http", "--header", `Authorization:Bearer ${endpoint.token}`],
    env: { ...process.env, MCP_REMOTE_CONFIG_DIR: process.env.HOME },
    stderr: "ignore",
  });
  return used(new Client(info), transport, endpoint);
}

async function inspector(endpoint) {
  const program = `${process.env.NODE_MODULES}/@modelcontextprotocol/inspector/clients/launcher/build/index.js`;
  const where = ["--cli", endpoint.url, "--transport", "http"];
  const who = ["--header", `Authorization: Bearer ${endpoint.token}`];
  const run = async (...args) => {
    const { stdout } = await promisify(execFile)(process.execPath, [program, ...where, ...who, ...args]);
    return JSON.parse(stdout);
  };
  const given = Object.entries(endpoint.arguments).flatMap(([key, value]) => ["--tool-arg", `${key}=${value}`]);
  const { tools } = await run("--method", "tools/list");
  const result = await run("--method", "tools/call", "--tool-name", endpoint.tool, ...given);
  return [tools.map((tool) => tool.name), JSON.stringify(result.content)];
}

const clients = {
  "sdk-1": sdk1,
  "sdk-2": (endpoint) => sdk2(endpoint),
  "sdk-2-auto": (endpoint) => sdk2(endpoint, { versionNegotiation: { mode: "auto" } }),
  "mcp-remote": mcpRemote,
  inspector,
};

const client = clients[process.argv[2]];
for (const endpoint of JSON.parse(process.env.ENDPOINTS)) {
  const { server } = endpoint;
  try {
    const [tools, text] = await client(endpoint);
    console.log(JSON.stringify({ server, tools, text }));
  } catch (error) {
    console.log(JSON.stringify({ server, error: String(error.stack ?? error) }));
  }
}
process.exit(0);
