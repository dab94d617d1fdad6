// The certified OpenID provider of npm as somebody's identity provider. Its keys are new at every start.

import { createServer } from "node:http";

import { load } from "./common.mjs";

// Whoever started it reads the first line alone.
process.stdout.on("error", () => {});
const { Provider } = await load("oidc-provider");
const { exportJWK, generateKeyPair } = await load("jose");

// `REDIRECT` is where people are sent back to who log in here for a gateway.
// `ISSUER` where a relay stands before it; `TTL` seconds for its access tokens.
const { PORT, AUDIENCE, ALGORITHM, ISSUER, TTL, REDIRECT } = process.env;
const issuer = ISSUER ?? `http://127.0.0.1:${PORT}`;
const { privateKey } = await generateKeyPair(ALGORITHM, { extractable: true });
const key = { ...(await exportJWK(privateKey)), alg: ALGORITHM, use: "sig", kid: `k${Date.now()}` };

const provider = new Provider(issuer, {
  jwks: { keys: [key] },
  clients: [
    {
      client_id: "0oa-scribe",
      client_secret: "a-secret-of-this-test-alone",
      redirect_uris: ["https://client.example/callback"],
      grant_types: ["authorization_code", "client_credentials"],
      response_types: ["code"],
      id_token_signed_response_alg: ALGORITHM,
    },
    {
      client_id: "gateway",
      client_secret: "a-secret-of-this-test-alone",
      redirect_uris: [REDIRECT ?? "https://gateway.example/oauth/login/corp/callback"],
      grant_types: ["authorization_code"],
      response_types: ["code"],
      id_token_signed_response_alg: ALGORITHM,
    },
  ],
  claims: { openid: ["sub"] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  scopes: ["openid", "mcp"],
  extraTokenClaims: () => ({ groups: ["staff"], roles: ["MCP.Doctor", "admin"] }),
  // Whoever registers by itself gets a refresh token with every code, and another with each use of it.
  issueRefreshToken: (_, client) => client.clientId !== "0oa-scribe",
  rotateRefreshToken: true,
  discovery: { code_challenge_methods_supported: ["S256"] },
  features: {
    registration: { enabled: true },
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => AUDIENCE,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => ({
        scope: "mcp",
        audience: resource,
        accessTokenFormat: "jwt",
        accessTokenTTL: Number(TTL ?? 600),
        jwt: { sign: { alg: ALGORITHM } },
      }),
    },
  },
});
createServer(provider.callback()).listen(Number(PORT), "127.0.0.1", () => console.log(issuer));
