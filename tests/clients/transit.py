"""Stands in for HashiCorp Vault's transit engine, since no package of npm, PyPI or Debian is one: the documented shapes
of `transit/encrypt/NAME` and `transit/decrypt/NAME` (Vault 1.20, API, "Encrypt data", "Decrypt data"), over TLS.
It checks what it is sent as strictly as the documents say, and says so where it is not that.

Arguments: certificate, key, and a file that holds `open`, `sealed` or `forbidden`. The first line it prints is where
it is.
"""

import base64
import http.server
import json
import pathlib
import secrets
import ssl
import sys

certificate, key, state = sys.argv[1:4]
TOKEN = "hvs.test-token-of-the-gateway"
wrapped = {}


class Transit(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_POST(self):
        said = self.rfile.read(int(self.headers.get("content-length", "0")))
        now = pathlib.Path(state).read_text().strip()
        if now == "sealed":
            return self.answer(503, {"errors": ["Vault is sealed"]})
        if now == "forbidden" or self.headers.get("x-vault-token") != TOKEN:
            return self.answer(403, {"errors": ["1 error occurred:\n\t* permission denied\n\n"]})
        if self.headers.get("x-vault-namespace") != "team/one":
            return self.answer(404, {"errors": []})
        body = json.loads(said)
        if self.path == "/v1/transit/encrypt/root":
            assert set(body) == {"plaintext"}, body
            assert len(base64.b64decode(body["plaintext"], validate=True)) == 32
            ciphertext = "vault:v1:" + secrets.token_urlsafe(45)
            wrapped[ciphertext] = body["plaintext"]
            return self.answer(200, {"request_id": "1", "data": {"ciphertext": ciphertext, "key_version": 1}})
        if self.path == "/v1/transit/decrypt/root":
            assert set(body) == {"ciphertext"}, body
            if body["ciphertext"] not in wrapped:
                return self.answer(400, {"errors": ["cipher: message authentication failed"]})
            return self.answer(200, {"request_id": "1", "data": {"plaintext": wrapped[body["ciphertext"]]}})
        if self.path.startswith("/v1/transit/"):
            return self.answer(400, {"errors": ["encryption key not found"]})
        return self.answer(404, {"errors": ["no handler for route"]})

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Transit)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(f"https://127.0.0.1:{server.server_address[1]}", flush=True)
server.serve_forever()
