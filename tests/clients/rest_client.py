"""The Python SDK 2.x with a REST service behind the gateway."""

import asyncio
import os

from mcp import Client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client


async def main():
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    async with create_mcp_http_client(headers=headers) as http:
        async with Client(streamable_http_client(os.environ["GATEWAY"], http_client=http)) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert tools["crm__readCustomer"].annotations.read_only_hint, tools
            found = await client.call_tool("crm__readCustomer", {"customer_id": "7"})
            assert found.structured_content["name"] == "Ada", found
            made = await client.call_tool("crm__addCustomer", {"body": {"name": "Grace", "tags": ["navy"]}})
            number = made.structured_content["id"]
            listed = await client.call_tool("crm__listCustomers", {"name": "Grace", "tag": ["navy"], "limit": 5})
            assert not listed.is_error and number in listed.content[0].text, listed
            gone = await client.call_tool("crm__deleteCustomer", {"customer_id": number})
            assert not gone.is_error and "204" in gone.content[0].text, gone
            missing = await client.call_tool("crm__readCustomer", {"customer_id": number})
            assert missing.is_error and "404" in missing.content[0].text, missing
            print(f"{len(tools)} tools")


asyncio.run(main())
