"""An MCP server that fetches over the network: through the proxy of its environment, or past it."""

import json
import os
import socket
import struct
import sys
import urllib.request


# A credential of the server's own, as far as anybody can tell.
KEY = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"


def proxy():
    host, port = os.environ["HTTP_PROXY"].removeprefix("http://").split(":")
    stream = socket.create_connection((host, int(port)), timeout=10)
    return stream


def ask(stream, host, path="/"):
    stream.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    said = b""
    while part := stream.recv(4096):
        said += part
    return said.decode()


def body(answer):
    return answer.split("\r\n\r\n", 1)[-1].strip()


def get(how, host, port):
    """`+key` sends a credential along."""
    how, key = how.removesuffix("+key"), how.endswith("+key")
    path = f"/?token={KEY}" if key else "/"
    if how == "direct":
        return body(ask(socket.create_connection((host, port), timeout=5), host))
    if how == "proxy":
        handler = urllib.request.ProxyHandler({"http": os.environ["HTTP_PROXY"]})
        try:
            with urllib.request.build_opener(handler).open(f"http://{host}:{port}{path}", timeout=10) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.read().decode()
    stream = proxy()
    if how == "connect":
        stream.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += stream.recv(1)
        if b" 200 " not in head:
            return stream.recv(4096).decode()
        return body(ask(stream, host, path))
    stream.sendall(b"\x05\x01\x00")
    assert stream.recv(2) == b"\x05\x00"
    name = host.encode()
    stream.sendall(b"\x05\x01\x00\x03" + bytes([len(name)]) + name + struct.pack(">H", port))
    answer = stream.recv(10)
    if answer[1] != 0:
        return f"refused: {answer[1]}"
    return body(ask(stream, host, path))


def main():
    for line in sys.stdin:
        message = json.loads(line)
        method, result = message.get("method"), {}
        if "id" not in message:
            continue
        if method == "initialize":
            version = message["params"]["protocolVersion"]
            result = {"protocolVersion": version, "capabilities": {"tools": {}}}
            result["serverInfo"] = {"name": "reach", "version": "1"}
        elif method == "tools/list":
            result["tools"] = [{"name": "get", "inputSchema": {"type": "object"}}]
        elif method == "tools/call":
            try:
                said = get(**message["params"]["arguments"])
            except OSError as error:
                said = f"{error!r}"
            result["content"] = [{"type": "text", "text": said}]
        else:
            error = {"code": -32601, "message": "no such method"}
            print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error}), flush=True)
            continue
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)


main()
