"""The Python SDK 2.x asks with its call for untrusted content to be marked, and prints what it got."""

import asyncio
import json
import os

from mcp import Client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client


async def main():
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    async with create_mcp_http_client(headers=headers) as http:
        async with Client(streamable_http_client(os.environ["GATEWAY"], http_client=http)) as client:
            arguments = json.loads(os.environ["ARGUMENTS"])
            meta = {"io.sallyport/spotlight": os.environ["MODE"]}
            answer = await client.call_tool(os.environ["TOOL"], arguments, meta=meta)
            shown = answer.model_dump(by_alias=True, mode="json", exclude_none=True)
            print(json.dumps({"answer": shown}))


asyncio.run(main())
