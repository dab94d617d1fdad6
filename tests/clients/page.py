"""A host with one page, at port 80, until its input ends."""

import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = b"<html><head><title>A page</title></head><body><article><p>hello from far away</p></article></body></html>"


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        found = self.path == "/"
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE) if found else 0))
        self.end_headers()
        self.wfile.write(PAGE if found else b"")

    def log_message(self, *_):
        pass


def until_the_end():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=until_the_end).start()
ThreadingHTTPServer(("", 80), Page).serve_forever()
