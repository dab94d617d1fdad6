// The certified OpenID provider of npm as somebody's identity provider. Its keys are new at every start.

import { createServer } from "node:http";

import { load } from "./common.mjs";

const { Provider } = await load("oidc-provider");
const { exportJWK, generateKeyPair } = await load("jose");

const { PORT, AUDIENCE, ALGORITHM } = process.env;
const issuer = `http://127.0.0.1:${PORT}`;
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
  ],
  claims: { openid: ["sub"] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  scopes: ["openid", "mcp"],
  extraTokenClaims: () => ({ groups: ["staff"], roles: ["MCP.Doctor", "admin"] }),
  features: {
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => AUDIENCE,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => ({
        scope: "mcp",
        audience: resource,
        accessTokenFormat: "jwt",
        accessTokenTTL: 600,
        jwt: { sign: { alg: ALGORITHM } },
      }),
    },
  },
});
createServer(provider.callback()).listen(Number(PORT), "127.0.0.1", () => console.log(issuer));
