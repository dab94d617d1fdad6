// A client that proves possession of its key with `jose`: at a token endpoint, and at the gateway, rightly and wrongly.

import { createHash, randomUUID } from "node:crypto";

import { load } from "./common.mjs";

const { SignJWT, exportJWK, generateKeyPair } = await load("jose");

const { ENDPOINT, TOKEN, CLIENT, SECRET, ALGORITHM } = process.env;
const own = await generateKeyPair(ALGORITHM);
const other = await generateKeyPair(ALGORITHM);

async function proof(method, url, token, { key = own, ...claims } = {}) {
  const ath = token && createHash("sha256").update(token).digest("base64url");
  return new SignJWT({ htm: method, htu: url, jti: randomUUID(), ath, ...claims })
    .setProtectedHeader({ typ: "dpop+jwt", alg: ALGORITHM, jwk: await exportJWK(key.publicKey) })
    .setIssuedAt(claims.iat)
    .sign(key.privateKey);
}

const form = { grant_type: "client_credentials", scope: "mcp", resource: ENDPOINT };
const basic = `Basic ${Buffer.from(`${CLIENT}:${SECRET}`).toString("base64")}`;
async function granted(dpop, authorization = basic) {
  const headers = { authorization, ...(dpop && { dpop }) };
  const answer = await fetch(TOKEN, { method: "POST", headers, body: new URLSearchParams(form) });
  return answer.json();
}
const used = await proof("POST", TOKEN);
// Whoever is not known yet uses no proof up at the gateway.
if (TOKEN.endsWith("/oauth/token")) await granted(used, `Basic ${btoa(`${CLIENT}:wrong`)}`);
const { access_token: token, token_type: type, ...rest } = await granted(used);
if (!token) throw new Error(JSON.stringify(rest));
const plain = (await granted()).access_token;

const meta = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientInfo": { name: "e2e", version: "1" },
  "io.modelcontextprotocol/clientCapabilities": {},
};
async function list(authorization, dpop, url = ENDPOINT) {
  const headers = new Headers({
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/list",
    authorization,
  });
  for (const one of [dpop].flat()) if (one) headers.append("dpop", one);
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list", params: { _meta: meta } });
  return (await fetch(url, { method: "POST", headers, body })).status;
}
const mine = (claims) => proof("POST", ENDPOINT, token, claims);
const now = Math.floor(Date.now() / 1000);
const replayed = await mine();
const statuses = {
  good: await list(`DPoP ${token}`, replayed),
  again: await list(`DPoP ${token}`, await mine()),
  replayed: await list(`DPoP ${token}`, replayed),
  bearer: await list(`Bearer ${token}`),
  "bearer with a proof": await list(`Bearer ${token}`, await mine()),
  "no proof": await list(`DPoP ${token}`),
  "two proofs": await list(`DPoP ${token}`, [await mine(), await mine()]),
  "another key": await list(`DPoP ${token}`, await mine({ key: other })),
  "another method": await list(`DPoP ${token}`, await proof("GET", ENDPOINT, token)),
  "another url": await list(`DPoP ${token}`, await proof("POST", `${ENDPOINT}/stub`, token)),
  "another token": await list(`DPoP ${token}`, await proof("POST", ENDPOINT, plain)),
  "no token": await list(`DPoP ${token}`, await proof("POST", ENDPOINT)),
  old: await list(`DPoP ${token}`, await mine({ iat: now - 120 })),
  early: await list(`DPoP ${token}`, await mine({ iat: now + 120 })),
  "the token's own proof": await list(`DPoP ${token}`, used),
  "a token bound to nothing": await list(`DPoP ${plain}`, await proof("POST", ENDPOINT, plain)),
  "a token for a proof": await list(`DPoP ${token}`, token),
};

// One proof is good for all that its request brings: the elements of a batch, the resources of a stream, the messages
// of a connection.
async function post(headers, message) {
  const own = { "content-type": "application/json", accept: "application/json, text/event-stream" };
  const authorization = `DPoP ${token}`;
  headers = { ...own, authorization, dpop: await mine(), ...headers };
  return fetch(ENDPOINT, { method: "POST", headers, body: JSON.stringify(message) });
}
const call = (id) => ({
  jsonrpc: "2.0",
  id,
  method: "tools/call",
  params: { name: "stub__echo", arguments: { text: `${id}` } },
});
const said = (answer) => answer.result?.content?.[0]?.text ?? JSON.stringify(answer);
const initialize = {
  jsonrpc: "2.0",
  id: 0,
  method: "initialize",
  params: { protocolVersion: "2025-03-26", capabilities: {}, clientInfo: { name: "e2e", version: "1" } },
};
async function batch() {
  const opened = await post({}, initialize);
  await opened.text();
  const session = { "mcp-session-id": opened.headers.get("mcp-session-id") };
  await post(session, { jsonrpc: "2.0", method: "notifications/initialized" });
  const answers = await (await post(session, [call(1), call(2)])).json();
  return answers.map(said).sort().join(" ");
}
async function stream() {
  const headers = { "mcp-protocol-version": "2026-07-28", "mcp-method": "subscriptions/listen" };
  const params = { notifications: { resourceSubscriptions: ["test://one"] }, _meta: meta };
  const answer = await post(headers, { jsonrpc: "2.0", id: 1, method: "subscriptions/listen", params });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("acknowledged")) text += (await reader.read()).value;
  await reader.cancel();
  return JSON.parse(text.match(/^data: (.*acknowledged.*)$/m)[1]).params.notifications;
}
async function connection() {
  const url = ENDPOINT.replace("/mcp", "/ws");
  const headers = { authorization: `DPoP ${token}`, dpop: await proof("GET", url, token) };
  const socket = new WebSocket(url.replace("http", "ws"), { protocols: ["mcp"], headers });
  const waiting = new Map();
  const answer = (id) => new Promise((settle) => waiting.set(id, settle));
  socket.onmessage = ({ data }) => waiting.get(JSON.parse(data).id)?.(JSON.parse(data));
  await new Promise((settle, fail) => Object.assign(socket, { onopen: settle, onerror: fail }));
  const send = (message) => socket.send(JSON.stringify(message));
  const opened = answer(0);
  send(initialize);
  await opened;
  send({ jsonrpc: "2.0", method: "notifications/initialized" });
  const answers = [answer(1), answer(2)];
  [1, 2].forEach((id) => send(call(id)));
  const texts = (await Promise.all(answers)).map(said);
  socket.close();
  return texts.join(" ");
}
const whole = { batch: await batch(), stream: await stream(), connection: await connection() };
const faulty = {
  replayed: await granted(used),
  "another url": await granted(await proof("POST", ENDPOINT)),
  garbled: await granted("a.b.c"),
};
console.log(JSON.stringify({ type, statuses, whole, faulty }));
