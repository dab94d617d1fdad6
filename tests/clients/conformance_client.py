"""The client of the official suite's client scenarios, on the Python SDK 2.x.

The suite starts it with the URL of its server. With `SALLYPORT` in its environment (the gateway's program), it
has a fresh gateway take that URL as its only server, and speaks to the gateway instead.
"""

import asyncio
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from mcp import Client, types

CONFIGURATION = """
listen: "127.0.0.1:0"
data: ./state
mcpServers: {{ suite: {{ url: "{url}", trust: trusted }} }}
approve: all
users: [ {{ name: dev, roles: [dev] }} ]
anonymous: dev
policy: {{ packs: [], rules: [ "permit(principal, action, resource);" ] }}
"""
LEGACY = os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", "2025-11-25") < "2026"
CONTEXT = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))


@contextlib.contextmanager
def reached(url):
    """The server as it is reached: directly, or through a gateway of its own."""
    program = os.environ.get("SALLYPORT")
    if program is None:
        yield url
        return
    with tempfile.TemporaryDirectory() as scratch:
        pathlib.Path(scratch, "sallyport.yaml").write_text(CONFIGURATION.format(url=url))
        command = [program, "serve", "--ready-json"]
        with subprocess.Popen(command, cwd=scratch, stdout=subprocess.PIPE, text=True) as gateway:
            try:
                yield json.loads(gateway.stdout.readline())["endpoints"]["mcp"] + "/suite"
            finally:
                gateway.terminate()


async def accept(context, params):
    """Accepts every question with the defaults of its form."""
    schema = getattr(params, "requested_schema", None) or {}
    fields = schema.get("properties", {})
    content = {name: field["default"] for name, field in fields.items() if "default" in field}
    if "confirmed" in fields:
        content["confirmed"] = True
    return types.ElicitResult(action="accept", content=content)


async def add(client):
    await client.list_tools()
    await client.call_tool("add_numbers", {"a": 5, "b": 3})


async def every_tool(client):
    for tool in (await client.list_tools()).tools:
        arguments = {name: "x" for name in tool.input_schema.get("required", [])}
        await client.call_tool(tool.name, arguments)


async def everything(client):
    await every_tool(client)
    for resource in (await client.list_resources()).resources:
        await client.read_resource(str(resource.uri))
    for prompt in (await client.list_prompts()).prompts:
        await client.get_prompt(prompt.name)


async def as_told(client):
    await client.list_tools()
    for call in CONTEXT["toolCalls"]:
        await client.call_tool(call["name"], call["arguments"])


async def asked_twice(client):
    await client.list_tools()
    for tool in ["test_mrtr_echo_state", "test_mrtr_unrelated", "test_mrtr_no_state", "test_mrtr_no_result_type"]:
        await client.call_tool(tool, {})


async def echo_schema(client):
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    echo = tools.pop("json_schema_echo")
    (focal,) = tools.values()
    await client.call_tool(echo.name, {"schema": focal.input_schema})


async def lists(client):
    await client.list_tools()


SCENARIOS = {
    "elicitation-sep1034-client-defaults": every_tool,
    "http-custom-headers": as_told,
    "http-invalid-tool-headers": every_tool,
    "http-standard-headers": everything,
    "initialize": lists,
    "json-schema-2020-12-preservation": echo_schema,
    "json-schema-ref-no-deref": lists,
    "request-metadata": lists,
    "sep-2322-client-request-state": asked_twice,
    "sse-retry": every_tool,
    "tools_call": add,
}


async def main(url):
    play = SCENARIOS[os.environ["MCP_CONFORMANCE_SCENARIO"]]
    with reached(url) as url:
        mode = "legacy" if LEGACY else "auto"
        async with Client(url, mode=mode, elicitation_callback=accept) as client:
            await play(client)


asyncio.run(main(sys.argv[-1]))
