"""One Python client against every endpoint in `ENDPOINTS`: lists the tools, calls one, prints what came.

The argument says which client. What is printed, a line of JSON for each endpoint, is for the test to judge.
"""

import asyncio
import json
import os
import sys


def credential(endpoint):
    return {"Authorization": f"Bearer {endpoint['token']}"}


def text_of(result):
    return "".join(getattr(block, "text", "") for block in result.content)


async def mcp_1(endpoint):
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async with streamablehttp_client(endpoint["url"], headers=credential(endpoint)) as (read, write, _):
        async with ClientSession(read, write) as session:
            await session.initialize()
            tools = [tool.name for tool in (await session.list_tools()).tools]
            return tools, text_of(await session.call_tool(endpoint["tool"], endpoint["arguments"]))


async def mcp_2(endpoint):
    from mcp import Client
    from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client

    async with create_mcp_http_client(headers=credential(endpoint)) as http:
        async with Client(streamable_http_client(endpoint["url"], http_client=http)) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            return tools, text_of(await client.call_tool(endpoint["tool"], endpoint["arguments"]))


async def fastmcp(endpoint):
    from fastmcp import Client
    from fastmcp.client.transports import StreamableHttpTransport

    async with Client(StreamableHttpTransport(endpoint["url"], headers=credential(endpoint))) as client:
        tools = [tool.name for tool in await client.list_tools()]
        return tools, text_of(await client.call_tool(endpoint["tool"], endpoint["arguments"]))


async def langchain(endpoint):
    from langchain_mcp_adapters.client import MultiServerMCPClient

    connection = {"transport": "streamable_http", "url": endpoint["url"], "headers": credential(endpoint)}
    tools = await MultiServerMCPClient({"gateway": connection}).get_tools()
    tool = next(tool for tool in tools if tool.name == endpoint["tool"])
    return [tool.name for tool in tools], str(await tool.ainvoke(endpoint["arguments"]))


async def openai_agents(endpoint):
    from agents.mcp import MCPServerStreamableHttp

    params = {"url": endpoint["url"], "headers": credential(endpoint)}
    async with MCPServerStreamableHttp(params, client_session_timeout_seconds=30) as server:
        tools = [tool.name for tool in await server.list_tools()]
        return tools, text_of(await server.call_tool(endpoint["tool"], endpoint["arguments"]))


async def mcp_agent(endpoint):
    from mcp_agent.config import MCPServerSettings, MCPSettings, Settings
    from mcp_agent.mcp.gen_client import gen_client
    from mcp_agent.mcp.mcp_server_registry import ServerRegistry

    server = MCPServerSettings(transport="streamable_http", url=endpoint["url"], headers=credential(endpoint))
    registry = ServerRegistry(config=Settings(mcp=MCPSettings(servers={"gateway": server})))
    async with gen_client("gateway", server_registry=registry) as session:
        tools = [tool.name for tool in (await session.list_tools()).tools]
        return tools, text_of(await session.call_tool(endpoint["tool"], endpoint["arguments"]))


CLIENTS = {
    "mcp-1": mcp_1,
    "mcp-2": mcp_2,
    "fastmcp": fastmcp,
    "langchain": langchain,
    "openai-agents": openai_agents,
    "mcp-agent": mcp_agent,
}


async def main():
    client = CLIENTS[sys.argv[1]]
    for endpoint in json.loads(os.environ["ENDPOINTS"]):
        try:
            tools, text = await asyncio.wait_for(client(endpoint), 30)
            said = {"server": endpoint["server"], "tools": tools, "text": text}
        except Exception as error:  # Whatever it is, the test shows it.
            said = {"server": endpoint["server"], "error": repr(error)}
        print(json.dumps(said), flush=True)


asyncio.run(main())
