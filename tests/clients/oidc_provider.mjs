// The certified OpenID provider of npm as somebody's identity provider. Its keys are new at every start.

import { createServer } from "node:http";

import { load } from "./common.mjs";

// Whoever started it reads the first line alone.
process.stdout.on("error", () => {});
const { Provider, errors } = await load("oidc-provider");
const { exportJWK, generateKeyPair, jwtVerify } = await load("jose");

// `REDIRECT` is where people are sent back to who log in here for a gateway.
// `ISSUER` where a relay stands before it; `TTL` seconds for its access tokens.
// `QUIRKS=entra` gives it Entra's habits: no `resource`, no registration, nothing said of PKCE; tokens of the type JWT, with
// `scp`, `azp`, `oid` and `tid`; scopes that name the resource; its own way to act on behalf of somebody.
const { PORT, AUDIENCE, ALGORITHM, ISSUER, TTL, REDIRECT, QUIRKS } = process.env;
const isEntra = QUIRKS === "entra";
const issuer = ISSUER ?? `http://127.0.0.1:${PORT}`;
const { privateKey, publicKey } = await generateKeyPair(ALGORITHM, { extractable: true });
const key = { ...(await exportJWK(privateKey)), alg: ALGORITHM, use: "sig", kid: `k${Date.now()}` };

const exchange = "urn:ietf:params:oauth:grant-type:token-exchange";
const accessToken = "urn:ietf:params:oauth:token-type:access_token";
const onBehalfOf = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const defaultScope = "api://guarded/.default";
const resourceServer = (_, resource) => {
  if (isEntra && !resource.startsWith("api://")) throw new errors.InvalidTarget("AADSTS901002: resource is not supported");
  return {
    scope: isEntra ? `Gateway.Use ${defaultScope}` : "mcp",
    audience: resource,
    accessTokenFormat: "jwt",
    accessTokenTTL: Number(TTL ?? 600),
    jwt: { sign: { alg: ALGORITHM } },
  };
};
// What is asked for where nothing is named: Entra reads it from the scope.
function defaultResource(ctx) {
  if (!isEntra) return AUDIENCE;
  return ctx.oidc.params.scope?.includes(defaultScope) ? "api://guarded" : "api://gateway";
}
function asEntraHasIt(_, token, jwt) {
  const { client_id, scope, ...payload } = jwt.payload;
  jwt.header = { typ: "JWT" };
  jwt.payload = { ...payload, azp: client_id, scp: "Gateway.Use", oid: `o-${payload.sub}`, tid: "t1", ver: "2.0" };
}

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
    {
      client_id: "exchanger",
      client_secret: "a-secret-of-this-test-alone",
      redirect_uris: [],
      grant_types: ["client_credentials", isEntra ? onBehalfOf : exchange],
      response_types: [],
    },
  ],
  claims: { openid: ["sub", "oid", "tid"] },
  conformIdTokenClaims: false,
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, ...(isEntra ? { oid: `o-${id}`, tid: "t1" } : {}) }),
  }),
  scopes: ["openid", "mcp", ...(isEntra ? ["Gateway.Use", defaultScope] : [])],
  formats: { customizers: isEntra ? { jwt: asEntraHasIt } : {} },
  extraTokenClaims: () => ({ groups: ["staff"], roles: ["MCP.Doctor", "admin"] }),
  // Whoever registers by itself gets a refresh token with every code, and another with each use of it.
  issueRefreshToken: (_, client) => client.clientId !== "0oa-scribe",
  rotateRefreshToken: true,
  discovery: { code_challenge_methods_supported: isEntra ? undefined : ["S256"] },
  features: {
    registration: { enabled: !isEntra },
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource,
      useGrantedResource: () => true,
      getResourceServerInfo: resourceServer,
    },
  },
});
// Exchange is left to whoever runs it: a token for the user of a token of its own, for one other resource.
async function exchanged(ctx, shown, resource) {
  const { client } = ctx.oidc;
  const typ = isEntra ? "JWT" : "at+jwt";
  const { payload } = await jwtVerify(shown, publicKey, { issuer, typ }).catch(() => {
    throw new errors.InvalidGrant("the token shown is none of ours");
  });
  const token = new provider.AccessToken({ accountId: payload.sub, client, gty: exchange, scope: "mcp" });
  token.resourceServer = new provider.ResourceServer(resource, resourceServer(ctx, resource));
  return { access_token: await token.save(), token_type: "Bearer", expires_in: token.expiration };
}
async function byExchange(ctx) {
  const { params } = ctx.oidc;
  if (params.subject_token_type !== accessToken) throw new errors.InvalidRequest("only access tokens are exchanged");
  ctx.body = { ...(await exchanged(ctx, params.subject_token, params.resource)), issued_token_type: accessToken };
}
async function byBehalf(ctx) {
  const { params } = ctx.oidc;
  if (params.requested_token_use !== "on_behalf_of" || params.resource || !params.scope.endsWith("/.default")) {
    throw new errors.InvalidRequest("AADSTS70000");
  }
  ctx.body = await exchanged(ctx, params.assertion, params.scope.replace("/.default", ""));
}
const parameters = ["subject_token", "subject_token_type", "requested_token_type", "resource", "scope"];
if (isEntra) provider.registerGrantType(onBehalfOf, byBehalf, ["assertion", "requested_token_use", "resource", "scope"]);
else provider.registerGrantType(exchange, byExchange, parameters);
createServer(provider.callback()).listen(Number(PORT), "127.0.0.1", () => console.log(issuer));
