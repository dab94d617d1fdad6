"""FastMCP's own client. Each line of standard input is a call: `tool`, `arguments`, `purpose`; what came of it is
printed in one line. It checks structured content against the schemas it was given, as SDKs do."""

import asyncio
import json
import os
import sys

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport


async def main():
    transport = StreamableHttpTransport(os.environ["GATEWAY"], headers={"Authorization": f"Bearer {os.environ['TOKEN']}"})
    async with Client(transport) as client:
        tools = {tool.name for tool in await client.list_tools()}
        for line in sys.stdin:
            asked = json.loads(line)
            assert asked["tool"] in tools, f"{asked['tool']} is not among {sorted(tools)}"
            meta = {"io.sallyport/context": {"purpose": asked["purpose"]}} if asked["purpose"] else None
            answer = await client.call_tool(asked["tool"], asked["arguments"], raise_on_error=False, meta=meta)
            texts = [getattr(block, "text", "") for block in answer.content]
            said = {"error": answer.is_error, "texts": texts, "data": answer.structured_content}
            print(json.dumps(said), flush=True)


asyncio.run(main())
