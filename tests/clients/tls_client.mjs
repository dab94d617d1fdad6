// The TypeScript SDK 2 over TLS, with the groups, authorities and certificates that a test gives it: it gets a token,
// if it has a secret, lists the tools and calls one.

import { readFileSync } from "node:fs";

import { load } from "./common.mjs";

const { Client, StreamableHTTPClientTransport } = await load("@modelcontextprotocol/client");
const { Agent, fetch } = await load("undici");

const { GATEWAY, AUTHORITY, GROUPS, CERTIFICATE, KEY, SECRET } = process.env;
const read = (path) => path && readFileSync(path);
const showing = (certificate, key) => {
  const connect = { ca: read(AUTHORITY), ecdhCurve: GROUPS ?? "auto", cert: read(certificate), key: read(key) };
  const dispatcher = new Agent({ connect });
  return (url, init) => fetch(url, { ...init, dispatcher });
};
const over = showing(CERTIFICATE, KEY);
// The token is used with another certificate, if there is one.
const { THIEFS_CERTIFICATE = CERTIFICATE, THIEFS_KEY = KEY } = process.env;

try {
  const headers = {};
  if (SECRET) {
    const form = new URLSearchParams({
      grant_type: "client_credentials",
      client_id: "tester",
      client_secret: SECRET,
      resource: `${GATEWAY}/mcp`,
    });
    const granted = await over(`${GATEWAY}/oauth/token`, { method: "POST", body: form });
    const { access_token } = await granted.json();
    headers.Authorization = `Bearer ${access_token}`;
  }
  const transport = new StreamableHTTPClientTransport(new URL(`${GATEWAY}/mcp`), {
    fetch: showing(THIEFS_CERTIFICATE, THIEFS_KEY),
    requestInit: { headers },
  });
  const client = new Client({ name: "e2e", version: "1" });
  await client.connect(transport);
  const tools = (await client.listTools()).tools.map((tool) => tool.name);
  const result = await client.callTool({ name: "stub__echo", arguments: { text: "over TLS" } });
  await client.close();
  console.log(JSON.stringify({ tools, result }));
  process.exit(result.isError ? 1 : 0);
} catch (error) {
  console.log(String(error.cause ?? error));
  process.exit(1);
}
