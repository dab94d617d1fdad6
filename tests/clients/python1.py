"""The Python SDK 1.30 (2025-11-25) against the gateway."""

import asyncio
import os

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

from common import check


async def main():
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    async with streamablehttp_client(os.environ["GATEWAY"], headers=headers) as (read, write, _):
        async with ClientSession(read, write) as session:
            await session.initialize()
            await check(session.list_tools, session.call_tool)


asyncio.run(main())
