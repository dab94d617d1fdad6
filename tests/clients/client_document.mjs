// A client's metadata document at the https URL that is its id. Prints the URL.

import { readFileSync } from "node:fs";
import https from "node:https";

const { CERTIFICATE, KEY, CHANGE } = process.env;
let document;
const server = https.createServer({ cert: readFileSync(CERTIFICATE), key: readFileSync(KEY) }, (request, response) => {
  if (request.url === "/moved.json") return response.writeHead(302, { location: "/client.json" }).end();
  if (request.url === "/endless.json") {
    response.writeHead(200, { "content-type": "application/json" });
    const more = setInterval(() => response.write(" ".repeat(64 * 1024)), 1);
    return response.on("close", () => clearInterval(more));
  }
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(document));
});
server.listen(0, "127.0.0.1", () => {
  const id = `https://localhost:${server.address().port}/client.json`;
  document = {
    client_id: id,
    client_name: "Documented",
    redirect_uris: ["http://127.0.0.1/callback"],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
    ...JSON.parse(CHANGE ?? "{}"),
  };
  console.log(id);
});
