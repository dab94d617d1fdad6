"""Servers that want a token and lead to authorization servers with one fault each: `/FAULT/mcp`. Prints its base URL, and
ends when its input does.
"""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, document=None, headers=(), body=None):
        body = json.dumps(document or {}).encode() if body is None else body
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path = self.path.removeprefix("/.well-known/oauth-protected-resource")
        if path != self.path:
            fault = path.split("/")[1] if path else ""
            return self.resource(fault) if fault else self.answer(404)
        for place in ["oauth-authorization-server", "openid-configuration"]:
            if self.path.startswith(f"/.well-known/{place}/"):
                return self.metadata(self.path.split("/")[3])
        self.answer(405)

    def resource(self, fault):
        document = {"resource": f"{base}/{fault}/mcp", "authorization_servers": [f"{base}/{fault}"]}
        if fault == "another-resource":
            document["resource"] = "https://another.example/mcp"
        elif fault == "no-resource":
            del document["resource"]
        elif fault == "no-issuers":
            document["authorization_servers"] = []
        elif fault == "link-local":
            document["authorization_servers"] = ["http://169.254.169.254/latest"]
        elif fault == "plain-http":
            document["authorization_servers"] = ["http://192.0.1.1/as"]
        elif fault == "file":
            document["authorization_servers"] = ["file:///etc/passwd"]
        elif fault == "redirected":
            return self.answer(302, headers=[("Location", f"{base}/good/metadata")])
        elif fault == "endless":
            return self.answer(200, body=b" " * (1024 * 1024) + json.dumps(document).encode())
        elif fault == "garbled":
            return self.answer(200, body=b"<html>")
        elif fault == "twice":
            return self.answer(200, body=b'{"resource": "a", "resource": "b"}')
        self.answer(200, document)

    def metadata(self, fault):
        document = {"issuer": f"{base}/{fault}", "token_endpoint": f"{base}/{fault}/token"}
        if fault == "no-metadata":
            return self.answer(404)
        if fault == "another-issuer":
            document["issuer"] = f"{base}/{fault}/"
        if fault == "no-token-endpoint":
            del document["token_endpoint"]
        if fault == "other-methods":
            document["token_endpoint_auth_methods_supported"] = ["tls_client_auth"]
        self.answer(200, document)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        _, fault, place = self.path.split("/")
        if place == "mcp":
            where = f"{base}/.well-known/oauth-protected-resource/{fault}/mcp"
            return self.answer(401, headers=[("WWW-Authenticate", f'Bearer resource_metadata="{where}"')])
        if fault == "refused-token":
            return self.answer(401, {"error": "invalid_client", "error_description": "no such client"})
        if fault == "token-redirected":
            return self.answer(303, headers=[("Location", f"{base}/good/token")])
        token = {"access_token": "t0ken", "token_type": "Bearer", "expires_in": 60}
        if fault == "another-type":
            token["token_type"] = "mac"
        if fault == "unsendable-token":
            token["access_token"] = "a\r\nX-Injected: 1"
        if fault == "bound-unasked":
            token["token_type"] = "DPoP"
        self.answer(200, token)

    def log_message(self, *_):
        pass


def until_input_ends():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=until_input_ends, daemon=True).start()
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
base = f"http://127.0.0.1:{server.server_port}"
print(base, flush=True)
server.serve_forever()
