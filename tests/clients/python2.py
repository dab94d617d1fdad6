"""The Python SDK 2.x (2026-07-28) against the gateway."""

import asyncio
import os

from mcp import Client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client

from common import check


async def main():
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    async with create_mcp_http_client(headers=headers) as http:
        async with Client(streamable_http_client(os.environ["GATEWAY"], http_client=http)) as client:
            await check(client.list_tools, client.call_tool)


asyncio.run(main())
