// Gets tokens of the provider: for the client itself, and for a user who logs in and consents (PKCE, S256).
// Finds the provider as an MCP client does: by the gateway's challenge and metadata.

import { createHash, randomBytes } from "node:crypto";

// `SCOPE` where the provider does not know `resource`.
const { ENDPOINT, LOGIN, SCOPE } = process.env;
const redirect = "https://client.example/callback";
const basic = `Basic ${Buffer.from("0oa-scribe:a-secret-of-this-test-alone").toString("base64")}`;

const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "e2e", version: "1" } };
const refused = await fetch(ENDPOINT, {
  method: "POST",
  headers: { "content-type": "application/json", accept: "application/json, text/event-stream" },
  body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params }),
});
const challenge = refused.headers.get("www-authenticate");
const resource = await (await fetch(challenge.match(/resource_metadata="([^"]+)"/)[1])).json();
const issuer = resource.authorization_servers[0];
const metadata = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();

async function token(form) {
  const headers = { authorization: basic };
  const answer = await fetch(metadata.token_endpoint, { method: "POST", headers, body: new URLSearchParams(form) });
  const body = await answer.json();
  if (!body.access_token) throw new Error(JSON.stringify(body));
  return body;
}

const indicated = SCOPE ? {} : { resource: resource.resource };
const machine = await token({ grant_type: "client_credentials", scope: SCOPE ?? "mcp", ...indicated });

// The user's way: each page is a form, each answer a redirect.
const verifier = randomBytes(32).toString("base64url");
const begin = new URL(metadata.authorization_endpoint);
begin.search = new URLSearchParams({
  client_id: "0oa-scribe",
  response_type: "code",
  redirect_uri: redirect,
  scope: `openid ${SCOPE ?? "mcp"}`,
  ...indicated,
  state: "s1",
  code_challenge: createHash("sha256").update(verifier).digest("base64url"),
  code_challenge_method: "S256",
});
const jar = new Map();
async function step(url, form) {
  const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
  const init = form ? { method: "POST", body: new URLSearchParams(form) } : {};
  const answer = await fetch(url, { ...init, redirect: "manual", headers: { cookie } });
  for (const line of answer.headers.getSetCookie()) {
    const [pair] = line.split(";");
    jar.set(pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1));
  }
  const to = answer.headers.get("location");
  return to ? { to: new URL(to, url).href } : { page: await answer.text() };
}
let at = begin.href;
for (let n = 0; n < 20 && !at.startsWith(redirect); n++) {
  const { to, page } = await step(at);
  if (to) {
    at = to;
    continue;
  }
  const form = /name="prompt" value="login"/.test(page)
    ? { prompt: "login", login: LOGIN ?? "alice", password: "any" }
    : { prompt: "consent" };
  const action = page.match(/action="([^"]+)"/)[1];
  at = (await step(new URL(action, at).href, form)).to;
}
const code = new URL(at).searchParams.get("code");
const user = await token({
  grant_type: "authorization_code",
  code,
  redirect_uri: redirect,
  code_verifier: verifier,
  ...indicated,
});
const found = { challenge, resource, machine: machine.access_token, user: user.access_token, id: user.id_token };
console.log(JSON.stringify(found));
