"""The Python SDK 2.x over stdio, with `sallyport connect` as its server."""

import asyncio
import os

from mcp import Client, StdioServerParameters

from common import check


async def main():
    names = ["SALLYPORT_CLIENT_ID", "SALLYPORT_CLIENT_SECRET"]
    bridge = StdioServerParameters(
        command=os.environ["SALLYPORT"],
        args=["connect", os.environ["GATEWAY"]],
        env={name: os.environ[name] for name in names},
    )
    async with Client(bridge) as client:
        await check(client.list_tools, client.call_tool)


asyncio.run(main())
