// Knocks with one client certificate after the other, and says what each was answered: a status, or how it was refused.

import { readFileSync } from "node:fs";
import https from "node:https";

const { GATEWAY, AUTHORITY, CASES } = process.env;
const ca = readFileSync(AUTHORITY);
const body = JSON.stringify({
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "e2e", version: "1" } },
});
const headers = { "content-type": "application/json", accept: "application/json, text/event-stream" };

function knock({ certificate, key }) {
  return new Promise((answered) => {
    const own = certificate ? { cert: readFileSync(certificate), key: readFileSync(key) } : {};
    const options = { method: "POST", ca, headers, agent: false, ...own };
    const request = https.request(`${GATEWAY}/mcp`, options, (response) => {
      response.resume();
      answered(response.statusCode);
    });
    request.on("error", (error) => answered(error.code ?? String(error)));
    request.end(body);
  });
}

const said = [];
for (const one of JSON.parse(CASES)) said.push(await knock(one));
console.log(JSON.stringify(said));
