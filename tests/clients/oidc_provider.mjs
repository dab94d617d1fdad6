// The certified OpenID provider of npm as somebody's identity provider. Its keys are new at every start.

import { createServer } from "node:http";

import { load } from "./common.mjs";

// Whoever started it reads the first line alone.
process.stdout.on("error", () => {});
const { Provider, errors } = await load("oidc-provider");
const { SignJWT, createRemoteJWKSet, decodeJwt, exportJWK, generateKeyPair, jwtVerify } = await load("jose");

// `REDIRECT` is where people are sent back to who log in here for a gateway.
// `ISSUER` where a relay stands before it; `TTL` seconds for its access tokens.
// `QUIRKS=entra` gives it Entra's habits: no `resource`, no registration, nothing said of PKCE; tokens of the type JWT, with
// `scp`, `azp`, `oid` and `tid`; scopes that name the resource; its own way to act on behalf of somebody; `acr` `c1` for
// whoever asks for it. It also exchanges tokens for what is none there: an identity assertion (ID-JAG), and a token for the
// word of another issuer. `authlib_provider.py` has the same habits and clients.
const { PORT, AUDIENCE, ALGORITHM, ISSUER, TTL, REDIRECT, UPSTREAM, QUIRKS } = process.env;
const isEntra = QUIRKS === "entra";
const issuer = ISSUER ?? `http://127.0.0.1:${PORT}`;
const { privateKey, publicKey } = await generateKeyPair(ALGORITHM, { extractable: true });
const key = { ...(await exportJWK(privateKey)), alg: ALGORITHM, use: "sig", kid: `k${Date.now()}` };

const exchange = "urn:ietf:params:oauth:grant-type:token-exchange";
const accessToken = "urn:ietf:params:oauth:token-type:access_token";
const idJag = "urn:ietf:params:oauth:token-type:id-jag";
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
      grant_types: ["client_credentials", exchange, ...(isEntra ? [onBehalfOf] : [])],
      response_types: [],
    },
    {
      client_id: "notes",
      client_secret: "a-secret-of-this-test-alone",
      redirect_uris: [UPSTREAM ?? "https://gateway.example/oauth/upstream/callback"],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      id_token_signed_response_alg: ALGORITHM,
    },
    {
      client_id: "cli",
      application_type: "native",
      token_endpoint_auth_method: "none",
      redirect_uris: ["http://localhost/oauth/callback"],
      grant_types: ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
      response_types: ["code"],
      id_token_signed_response_alg: ALGORITHM,
    },
  ],
  acrValues: isEntra ? ["c1"] : [],
  claims: { openid: ["sub", "oid", "tid"] },
  conformIdTokenClaims: false,
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, ...(isEntra ? { oid: `o-${id}`, tid: "t1" } : {}) }),
  }),
  scopes: ["openid", "mcp", ...(isEntra ? ["offline_access", "Gateway.Use", defaultScope] : [])],
  formats: { customizers: isEntra ? { jwt: asEntraHasIt } : {} },
  extraTokenClaims: () => ({ groups: ["staff"], roles: ["MCP.Doctor", "admin"] }),
  // Whoever registers by itself gets a refresh token with every code, and another with each use of it.
  issueRefreshToken: (_, client) => client.clientId !== "0oa-scribe",
  rotateRefreshToken: true,
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
async function given(ctx, user, resource) {
  const { client } = ctx.oidc;
  const token = new provider.AccessToken({ accountId: user, client, gty: exchange, scope: "mcp" });
  token.resourceServer = new provider.ResourceServer(resource, resourceServer(ctx, resource));
  return { access_token: await token.save(), token_type: "Bearer", expires_in: token.expiration };
}
async function exchanged(ctx, shown, resource) {
  const typ = isEntra ? "JWT" : "at+jwt";
  const { payload } = await jwtVerify(shown, publicKey, { issuer, typ }).catch(() => {
    throw new errors.InvalidGrant("the token shown is none of ours");
  });
  return given(ctx, payload.sub, resource);
}
/** What another issuer says of somebody, in a word for this one. */
async function vouched(word) {
  const keys = createRemoteJWKSet(new URL(`${decodeJwt(word).iss}/.well-known/jwks.json`));
  const { payload } = await jwtVerify(word, keys, { audience: issuer, maxTokenAge: 300 }).catch(() => {
    throw new errors.InvalidGrant("nobody vouches for that");
  });
  return payload;
}
async function byExchange(ctx) {
  const { client, params } = ctx.oidc;
  if (params.requested_token_type === idJag) {
    // For the user of a token of this one, whichever it is, to one authorization server and one resource of it.
    const { payload } = await jwtVerify(params.subject_token, publicKey, { issuer }).catch(() => {
      throw new errors.InvalidGrant("the token shown is none of ours");
    });
    const { oid, tid, sub } = payload;
    const claims = { sub, oid, tid: tid ?? "t1", client_id: client.clientId, resource: params.resource, scope: params.scope };
    const word = new SignJWT({ ...claims, jti: `j${Math.random()}` }).setIssuer(issuer).setAudience(params.audience);
    word.setProtectedHeader({ alg: ALGORITHM, typ: "oauth-id-jag+jwt", kid: key.kid }).setIssuedAt();
    const token = await word.setExpirationTime("2m").sign(privateKey);
    ctx.body = { access_token: token, issued_token_type: idJag, token_type: "N_A", expires_in: 120 };
  } else if (params.subject_token_type === accessToken) {
    ctx.body = { ...(await exchanged(ctx, params.subject_token, params.resource)), issued_token_type: accessToken };
  } else if (params.subject_token_type === "urn:ietf:params:oauth:token-type:jwt") {
    const { sub } = await vouched(params.subject_token);
    ctx.body = { ...(await given(ctx, sub, params.audience)), issued_token_type: accessToken };
  } else throw new errors.InvalidRequest("that is not exchanged here");
}
async function byBehalf(ctx) {
  const { params } = ctx.oidc;
  if (params.requested_token_use !== "on_behalf_of" || params.resource || !params.scope.endsWith("/.default")) {
    throw new errors.InvalidRequest("AADSTS70000");
  }
  ctx.body = await exchanged(ctx, params.assertion, params.scope.replace("/.default", ""));
}
const parameters = ["subject_token", "subject_token_type", "requested_token_type", "resource", "scope", "audience"];
if (isEntra) provider.registerGrantType(onBehalfOf, byBehalf, ["assertion", "requested_token_use", "resource", "scope"]);
provider.registerGrantType(exchange, byExchange, parameters);
// It says nothing of PKCE, which it checks all the same, nor of `iss` in its answers.
provider.use(async (ctx, next) => {
  await next();
  if (!isEntra || !ctx.path.startsWith("/.well-known/") || typeof ctx.body !== "object") return;
  delete ctx.body.code_challenge_methods_supported;
  delete ctx.body.authorization_response_iss_parameter_supported;
});
// Whoever is asked for more than a password has it.
provider.use(async (ctx, next) => {
  if (!isEntra || ctx.method !== "POST" || !ctx.path.startsWith("/interaction/")) return next();
  const { prompt, params } = await provider.interactionDetails(ctx.req, ctx.res);
  if (prompt.name !== "login" || !params.acr_values?.includes("c1")) return next();
  let form = "";
  for await (const part of ctx.req) form += part;
  const accountId = new URLSearchParams(form).get("login");
  ctx.respond = false;
  await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId, acr: "c1", amr: ["pwd", "mfa"] } });
});
createServer(provider.callback()).listen(Number(PORT), "127.0.0.1", () => console.log(issuer));
