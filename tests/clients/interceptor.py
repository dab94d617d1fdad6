"""A server of interceptors (SEP-2624) on the Python SDK, as its extensions are made: one validator that is against the
word `sabotage`, and on other words is slow, broken or talkative; one that only watches. Prints where it is, then each
question it is asked, and ends when its input does.
"""

import asyncio
import json
import socket
import sys
from typing import Any

import uvicorn
from mcp import types
from mcp.server.extension import Extension, MethodBinding
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError


class Listing(types.RequestParams):
    event: str | None = None


class Question(types.RequestParams):
    name: str
    event: str
    phase: str
    payload: Any = None
    timeoutMs: int | None = None


def entry(name, **more):
    hook = {"events": ["tools/call"], "phase": "both"}
    return {"name": name, "type": "validation", "hook": hook, **more}


class Interceptors(Extension):
    identifier = "io.modelcontextprotocol/interceptors"

    def settings(self):
        return {"supportedEvents": ["tools/call"]}

    def methods(self):
        return [
            MethodBinding("interceptors/list", Listing, self.listed),
            MethodBinding("interceptor/invoke", Question, self.invoked),
        ]

    async def listed(self, _, __):
        mutator = {"name": "upper", "type": "mutation", "hook": {"events": ["*"], "phase": "both"}}
        return {"interceptors": [entry("words"), entry("watcher", mode="audit"), mutator]}

    async def invoked(self, _, question):
        text = json.dumps(question.payload)
        print(json.dumps(question.model_dump(exclude={"meta"})), flush=True)
        if question.name != "words" and question.name != "watcher":
            raise MCPError(-32602, "there is no such interceptor")
        if "slowly" in text:
            await asyncio.sleep(20)
        if "brokenly" in text:
            raise MCPError(-32603, "Interceptor execution failed")
        if "talkatively" in text:
            return {"valid": "perhaps"}
        bad = "sabotage" in text
        message = {"path": "arguments.text", "message": "that is sabotage", "severity": "error"}
        return {
            "interceptor": question.name,
            "type": "validation",
            "phase": question.phase,
            "valid": not bad,
            "severity": "error" if bad else "info",
            "messages": [message] if bad else [],
        }


async def main():
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    app = MCPServer("guard", extensions=[Interceptors()]).streamable_http_app()
    running = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", flush=True)
    serving = asyncio.create_task(running.serve(sockets=[listening]))
    await asyncio.to_thread(sys.stdin.read)
    running.should_exit = True
    await serving


asyncio.run(main())
