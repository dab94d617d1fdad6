// Puts TLS before an HTTP server: with the groups, the certificate and the demand for a client's that a test gives it.

import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";

const { TARGET, CERTIFICATE, KEY, GROUPS, CLIENTS, PORT } = process.env;
const options = {
  cert: readFileSync(CERTIFICATE),
  key: readFileSync(KEY),
  ecdhCurve: GROUPS,
  requestCert: CLIENTS !== undefined,
  rejectUnauthorized: CLIENTS !== undefined,
  ca: CLIENTS && readFileSync(CLIENTS),
};
const server = https.createServer(options, (request, response) => {
  const { method, headers } = request;
  const onward = http.request(TARGET, { method, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  request.pipe(onward);
  onward.on("error", () => response.destroy());
});
server.on("error", (error) => console.error(error));
server.listen(Number(PORT ?? 0), "127.0.0.1", () => console.log(`https://127.0.0.1:${server.address().port}/mcp`));
