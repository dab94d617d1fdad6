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
import time

import httpx
from mcp import Client, types
from mcp.shared.exceptions import MCPError

CONFIGURATION = """
listen: "127.0.0.1:0"
data: ./state
mcpServers: {{ suite: {{ url: "{url}", trust: trusted{auth} }} }}
approve: all
users: [ {{ name: dev, roles: [dev], secret: "env:DEV_SECRET" }} ]
anonymous: dev
policy: {{ packs: [], rules: [ "permit(principal, action, resource);" ] }}
"""
LEGACY = os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", "2025-11-25") < "2026"
CONTEXT = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))


SCENARIO = os.environ["MCP_CONFORMANCE_SCENARIO"]
# With which the person proves at the link to be that person.
os.environ["DEV_SECRET"] = "dev-5e0c1b7a94d2f3668a"


def auth():
    """How the gateway is to prove itself to the suite's server."""
    if not SCENARIO.startswith("auth/"):
        return None
    known = {name: CONTEXT[name] for name in ["client_id", "client_secret"] if name in CONTEXT}
    if "client_secret" in known:
        pathlib.Path("secret").touch(0o600)
        pathlib.Path("secret").write_text(known["client_secret"])
        known["client_secret"] = f"file:{pathlib.Path('secret').absolute()}"
    if "private_key_pem" in CONTEXT:
        pathlib.Path("key").touch(0o600)
        pathlib.Path("key").write_text(CONTEXT["private_key_pem"])
        known["key"] = f"file:{pathlib.Path('key').absolute()}"
    if SCENARIO.startswith("auth/client-credentials-"):
        return {"kind": "client_credentials"} | known
    if SCENARIO == "auth/wif-jwt-bearer":
        pathlib.Path("jwt").write_text(CONTEXT["valid_jwt"])
        return {"kind": "workload", "assertion": f"file:{pathlib.Path('jwt').absolute()}"} | known
    if SCENARIO == "auth/enterprise-managed-authorization":
        pathlib.Path("id_token").write_text(CONTEXT["idp_id_token"])
        provider = {"issuer": CONTEXT["idp_issuer"], "client_id": CONTEXT["idp_client_id"]}
        identity = f"file:{pathlib.Path('id_token').absolute()}"
        return {"kind": "id_jag", "assertion": identity, "provider": provider} | known
    if SCENARIO == "auth/pre-registration":
        return {"kind": "authorization_code"} | known
    if SCENARIO == "auth/basic-cimd":
        document = "https://conformance-test.local/client-metadata.json"
        return {"kind": "authorization_code", "client_id_metadata": document}
    return {"kind": "authorization_code", "registration": "dynamic"}


def agree(link):
    """What a person's browser does with a link of the gateway's, up to the page that says what was connected."""
    with httpx.Client() as browser:
        answer = browser.post(link, data={"user": "dev", "secret": os.environ["DEV_SECRET"]})
        while answer.is_redirect:
            answer = browser.get(answer.headers["location"])
        print(answer.status_code, answer.text[-300:], file=sys.stderr)


def connect(program):
    """A person connects the server, and the gateway looks at it."""
    def ask(*command):
        done = subprocess.run([program, *command, "--json"], capture_output=True, text=True)
        print(done.stderr, file=sys.stderr)
        return json.loads(done.stdout) if done.returncode == 0 else {}

    # Once more where the authorization server becomes another one meanwhile.
    for _ in range(2):
        if link := ask("server", "connect", "suite", "--user", "dev").get("url"):
            agree(link)
        for _ in range(15):
            if "revision" in ask("server", "list").get("servers", [{}])[0]:
                return
            time.sleep(0.1)


@contextlib.contextmanager
def reached(url):
    """The server as it is reached: directly, or through a gateway of its own."""
    program = os.environ.get("SALLYPORT")
    if program is None:
        yield url
        return
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        how = f", auth: {json.dumps(auth())}" if auth() else ""
        pathlib.Path("sallyport.yaml").write_text(CONFIGURATION.format(url=url, auth=how))
        command = [program, "serve", "--ready-json"]
        with subprocess.Popen(command, cwd=scratch, stdout=subprocess.PIPE, text=True) as gateway:
            try:
                mcp = json.loads(gateway.stdout.readline())["endpoints"]["mcp"]
                if (auth() or {}).get("kind") == "authorization_code":
                    connect(program)
                yield mcp + "/suite"
            finally:
                gateway.terminate()


async def accept(context, params):
    """Accepts every question with the defaults of its form."""
    if url := getattr(params, "url", None):
        await asyncio.to_thread(agree, url)
        return types.ElicitResult(action="accept")
    schema = getattr(params, "requested_schema", None) or {}
    fields = schema.get("properties", {})
    content = {name: field["default"] for name, field in fields.items() if "default" in field}
    if "confirmed" in fields:
        content["confirmed"] = True
    return types.ElicitResult(action="accept", content=content)


async def call(client, tool, arguments):
    """Calls a tool; once more when its user was shown where to agree (2025-11-25: by an error)."""
    try:
        return await client.call_tool(tool, arguments)
    except MCPError as refused:
        if refused.error.code != types.URL_ELICITATION_REQUIRED:
            raise
        for asked in refused.error.data["elicitations"]:
            await asyncio.to_thread(agree, asked["url"])
        return await client.call_tool(tool, arguments)


async def add(client):
    await client.list_tools()
    await client.call_tool("add_numbers", {"a": 5, "b": 3})


async def every_tool(client):
    for tool in (await client.list_tools()).tools:
        arguments = {name: "x" for name in tool.input_schema.get("required", [])}
        await call(client, tool.name, arguments)


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
    play = SCENARIOS.get(SCENARIO, every_tool)
    with reached(url) as url:
        mode = "legacy" if LEGACY else "auto"
        async with Client(url, mode=mode, elicitation_callback=accept) as client:
            await play(client)


asyncio.run(main(sys.argv[-1]))
