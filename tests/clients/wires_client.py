"""The Python SDK 1.30 against the gateway over HTTP+SSE or WebSocket: `URL` says which.

Calls `echo` of every server in `SERVERS`, and `ask` of those that can, and answers what they ask.
"""

import asyncio
import os

from mcp import ClientSession, types
from mcp.client.sse import sse_client
from mcp.client.websocket import websocket_client

URL = os.environ["URL"]


async def elicited(context, params):
    return types.ElicitResult(action="accept", content={"name": "Ada"})


async def main():
    headers = {"Authorization": f"Bearer {os.environ.get('TOKEN', '')}"}
    over = websocket_client(URL) if URL.startswith("ws") else sse_client(URL, headers=headers)
    async with over as (read, write):
        async with ClientSession(read, write, elicitation_callback=elicited) as session:
            await session.initialize()
            tools = [tool.name for tool in (await session.list_tools()).tools]
            for name in os.environ["SERVERS"].split():
                result = await session.call_tool(f"{name}__echo", {"text": f"over {name}"})
                text = result.content[0].text
                assert not result.isError and text == f"over {name}", f"{name}: {result}"
                if f"{name}__ask" in tools and name != "unix":
                    result = await session.call_tool(f"{name}__ask", {"text": "Who are you?"})
                    text = result.content[0].text
                    assert text == "accept {'name': 'Ada'}", f"{name}: {result}"
            print(f"{len(tools)} tools listed, all called")


asyncio.run(main())
