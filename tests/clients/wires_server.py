"""A server on the Python SDK 1.30 over the wires that carry messages both ways: HTTP+SSE and WebSocket.

Prints its base URL: HTTP+SSE is at `/sse`, WebSocket at `/ws`. Ends when its input is closed.
"""

import asyncio
import socket
import sys

import uvicorn
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.sse import SseServerTransport
from mcp.server.websocket import websocket_server
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute

server = Server("wires")


@server.list_tools()
async def list_tools():
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    return [
        types.Tool(name="echo", description="Gives back the text.", inputSchema=schema),
        types.Tool(name="ask", description="Asks the client's user for a name.", inputSchema=schema),
    ]


@server.call_tool()
async def call_tool(name, arguments):
    text = arguments["text"]
    if name == "ask":
        schema = {"type": "object", "properties": {"name": {"type": "string"}}}
        answer = await server.request_context.session.elicit(text, schema)
        text = f"{answer.action} {answer.content}"
    return [types.TextContent(type="text", text=text)]


sse = SseServerTransport("/messages/")


async def over_sse(request):
    async with sse.connect_sse(request.scope, request.receive, request._send) as (read, write):
        await server.run(read, write, server.create_initialization_options())
    return Response()


async def over_websocket(websocket):
    async with websocket_server(websocket.scope, websocket.receive, websocket.send) as (read, write):
        await server.run(read, write, server.create_initialization_options())


async def main():
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    app = Starlette(
        routes=[
            Route("/sse", over_sse),
            Mount("/messages/", app=sse.handle_post_message),
            WebSocketRoute("/ws", over_websocket),
        ]
    )
    running = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    print(f"127.0.0.1:{listening.getsockname()[1]}", flush=True)
    serving = asyncio.create_task(running.serve(sockets=[listening]))
    await asyncio.to_thread(sys.stdin.read)
    running.should_exit = True
    await serving


asyncio.run(main())
