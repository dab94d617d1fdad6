"""A small MCP server over stdio: tools `greet` and `where`. Used by the tests of `sallyport import`."""
import json
import os
import sys

TOOLS = [
    {"name": "greet", "description": "Greets somebody.", "inputSchema": {
        "type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
    {"name": "where", "description": "Tells where it runs and whether its key is there.",
     "inputSchema": {"type": "object", "properties": {}}},
]


def call(params):
    if params["name"] == "greet":
        return "Hello, " + params["arguments"]["name"] + "!"
    return os.getcwd() + " key " + str(len(os.environ.get("GREETER_API_KEY", "")))


for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    method, params = message["method"], message.get("params", {})
    answer = {"jsonrpc": "2.0", "id": message["id"]}
    if method == "initialize":
        answer["result"] = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                            "serverInfo": {"name": "greeter", "version": "1"}}
    elif method == "tools/list":
        answer["result"] = {"tools": TOOLS}
    elif method == "tools/call":
        answer["result"] = {"content": [{"type": "text", "text": call(params)}]}
    else:
        answer["error"] = {"code": -32601, "message": "no such method"}
    print(json.dumps(answer), flush=True)
