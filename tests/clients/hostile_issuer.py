"""Identity providers that are not right, each under a path of its own. Prints where it listens."""

import http.server
import json
import threading
import time


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        _, name, *rest = self.path.split("/")
        own = f"{base}/{name}"
        metadata = {"issuer": own, "jwks_uri": f"{own}/keys"}
        if rest == ["keys"]:
            return self.told(200, {"keys": []})
        if rest != [".well-known", "openid-configuration"]:
            return self.told(404, {})
        if name == "slow":
            # A byte now and then: never an answer, and never silence.
            self.send_response(200)
            self.end_headers()
            for _ in range(40):
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.5)
            return None
        if name == "endless":
            self.send_response(200)
            self.end_headers()
            for _ in range(1024):
                self.wfile.write(b"[" * 4096)
            return None
        if name == "redirected":
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/latest/meta-data")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if name == "nearby":
            metadata["jwks_uri"] = "http://169.254.169.254/keys"
        if name == "another":
            metadata["issuer"] = f"{base}/nearby"
        if name == "garbled":
            metadata = "not what was asked for"
        return self.told(200, metadata)

    def told(self, status, answer):
        answer = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        """Whoever hangs up is right to."""


server = Server(("127.0.0.1", 0), Handler)
base = f"http://127.0.0.1:{server.server_port}"
threading.Thread(target=server.serve_forever, daemon=True).start()
print(base, flush=True)
try:
    input()
except EOFError:
    pass
