"""A server on the Python SDK 1.30 over Streamable HTTP whose tool says something to its session once it has answered.

Prints its URL. Ends when its input is closed.
"""

import asyncio
import socket
import sys

import uvicorn
from mcp.server.fastmcp import Context, FastMCP

server = FastMCP("later", log_level="ERROR")
talking = set()


@server._mcp_server.set_logging_level()
async def set_logging_level(level):
    pass


@server.tool()
async def later(text: str, context: Context) -> str:
    session = context.session

    async def say():
        # Until the call is over: then it belongs to the session alone.
        await asyncio.sleep(0.5)
        await session.send_log_message("info", text)

    task = asyncio.get_running_loop().create_task(say())
    talking.add(task)
    task.add_done_callback(talking.discard)
    return "soon"


async def main():
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    config = uvicorn.Config(server.streamable_http_app(), log_level="error", timeout_graceful_shutdown=1)
    running = uvicorn.Server(config)
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", flush=True)
    serving = asyncio.create_task(running.serve(sockets=[listening]))
    await asyncio.to_thread(sys.stdin.read)
    running.should_exit = True
    await serving


asyncio.run(main())
