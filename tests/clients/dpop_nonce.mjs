// A client whose proofs have nonces: right ones, and those that a server must not take. What each answer says.

import { createHash, randomUUID } from "node:crypto";

import { load } from "./common.mjs";

const { SignJWT, exportJWK, generateKeyPair } = await load("jose");
const { ENDPOINT, TOKEN, CLIENT, SECRET } = process.env;
const key = await generateKeyPair("ES256");

async function proof(method, url, nonce, token) {
  const ath = token && createHash("sha256").update(token).digest("base64url");
  return new SignJWT({ htm: method, htu: url, jti: randomUUID(), ath, nonce })
    .setProtectedHeader({ typ: "dpop+jwt", alg: "ES256", jwk: await exportJWK(key.publicKey) })
    .setIssuedAt()
    .sign(key.privateKey);
}

async function granted(nonce) {
  const form = { grant_type: "client_credentials", client_id: CLIENT, client_secret: SECRET, resource: ENDPOINT };
  const headers = { dpop: await proof("POST", TOKEN, nonce) };
  const answer = await fetch(TOKEN, { method: "POST", headers, body: new URLSearchParams(form) });
  return { status: answer.status, nonce: answer.headers.get("dpop-nonce"), ...(await answer.json()) };
}

async function used(token, nonce) {
  const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "e2e", version: "1" } };
  const headers = {
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    authorization: `DPoP ${token}`,
    dpop: await proof("POST", ENDPOINT, nonce, token),
  };
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params });
  const answer = await fetch(ENDPOINT, { method: "POST", headers, body });
  const challenge = answer.headers.get("www-authenticate");
  return { status: answer.status, challenge, nonce: answer.headers.get("dpop-nonce") };
}

const first = await granted();
const changed = (nonce) => (nonce.startsWith("B") ? "A" : "B") + nonce.slice(1);
const good = await granted(first.nonce);
console.log(
  JSON.stringify({
    token: { without: first, another: await granted("x"), changed: await granted(changed(first.nonce)), good },
    mcp: {
      without: await used(good.access_token),
      another: await used(good.access_token, "x"),
      changed: await used(good.access_token, changed(good.nonce)),
      good: await used(good.access_token, good.nonce),
    },
  }),
);
