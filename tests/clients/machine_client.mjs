// Programs without a person: the TypeScript SDK's own providers, with nothing of the gateway's in them.

import { readFileSync } from "node:fs";

import { load } from "./common.mjs";

const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
const { StreamableHTTPClientTransport } = await load("@modelcontextprotocol/sdk/client/streamableHttp.js");
const { ClientCredentialsProvider, PrivateKeyJwtProvider } = await load(
  "@modelcontextprotocol/sdk/client/auth-extensions.js",
);

const { ENDPOINT, ISSUER, WAY, CLIENT, SECRET, KEY } = process.env;
const authProvider =
  WAY === "secret"
    ? new ClientCredentialsProvider({ clientId: CLIENT, clientSecret: SECRET, expectedIssuer: ISSUER })
    : new PrivateKeyJwtProvider({
        clientId: CLIENT,
        privateKey: readFileSync(KEY, "utf8"),
        algorithm: "ES256",
        expectedIssuer: ISSUER,
      });
const transport = new StreamableHTTPClientTransport(new URL(ENDPOINT), { authProvider });
const client = new Client({ name: "e2e", version: "1" });
await client.connect(transport);
const result = await client.callTool({ name: "stub__echo", arguments: { text: "hello" } });
console.log(JSON.stringify({ said: result.content.map((block) => block.text), error: result.isError ?? false }));
await client.close();
