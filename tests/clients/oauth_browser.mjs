// The TypeScript SDK 2 lets a person log in: 401, metadata, registration, browser, token, calls, renewal. Nothing here
// knows the gateway.

import { execFile } from "node:child_process";
import http from "node:http";
import { promisify } from "node:util";

import { load } from "./common.mjs";

const { Client, StreamableHTTPClientTransport } = await load("@modelcontextprotocol/client");
const { WAY, GATEWAY, DOCUMENT, PERSON_SCRIPT } = process.env;

// Where the browser is sent back to.
let came;
const server = http.createServer((request, response) => {
  const { searchParams } = new URL(request.url, "http://127.0.0.1");
  if (searchParams.has("code")) came = searchParams;
  response.end("You can close this page.");
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const redirect = `http://127.0.0.1:${server.address().port}/callback`;

const kept = { client: WAY === "known" ? { client_id: "typescript" } : undefined, all: [] };
const provider = {
  redirectUrl: redirect,
  clientMetadataUrl: WAY === "document" ? DOCUMENT : undefined,
  clientMetadata: {
    client_name: "TypeScript client",
    redirect_uris: [redirect],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  },
  state: () => "a-state-of-this-test",
  clientInformation: () => kept.client,
  saveClientInformation: (client) => (kept.client = client),
  tokens: () => kept.tokens,
  saveTokens: (tokens) => {
    kept.tokens = tokens;
    kept.all.push(tokens.access_token);
  },
  redirectToAuthorization: (url) => promisify(execFile)(process.execPath, [PERSON_SCRIPT, url.href]),
  saveCodeVerifier: (verifier) => (kept.verifier = verifier),
  codeVerifier: () => kept.verifier,
};

const open = () => new StreamableHTTPClientTransport(new URL(GATEWAY), { authProvider: provider });
const first = new Client({ name: "e2e", version: "1" });
const transport = open();
try {
  await first.connect(transport);
  throw new Error("nobody was asked");
} catch (error) {
  if (!came) throw error;
}
if (came.get("state") !== "a-state-of-this-test") throw new Error("another state came back");
await transport.finishAuth(came);
const client = new Client({ name: "e2e", version: "1" });
await client.connect(open());
const tools = (await client.listTools()).tools.map((tool) => tool.name);
if (!tools.includes("stub__echo")) throw new Error(`listed: ${tools}`);
// As when its ten minutes are over: the gateway refuses it, and the SDK gets another.
kept.tokens = { ...kept.tokens, access_token: `${kept.tokens.access_token}x` };
const result = await client.callTool({ name: "stub__echo", arguments: { text: "let in" } });
if (!JSON.stringify(result).includes("let in")) throw new Error(JSON.stringify(result));
if (kept.all.length < 2 || kept.all[0] === kept.all.at(-1)) throw new Error("it was not renewed");
await client.close();
server.close();
console.log(kept.client?.client_id ?? DOCUMENT);
process.exit(0);
