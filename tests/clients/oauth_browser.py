"""The Python SDK 2.x lets a person log in: 401, metadata, registration, browser, token, calls, renewal. Nothing here
knows the gateway."""

import asyncio
import http.server
import os
import threading
import time
import urllib.parse

from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata

WAY = os.environ["WAY"]


class Callback(http.server.BaseHTTPRequestHandler):
    """Where the browser is sent back to."""

    came = {}

    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        if "code" in query:
            Callback.came.update({name: values[0] for name, values in query.items()})
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"You can close this page.")

    def log_message(self, *_):
        pass


class Memory:
    """What the SDK keeps."""

    def __init__(self, client):
        self.tokens, self.client, self.all = None, client, []

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens
        self.all.append(tokens.access_token)

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


async def open_browser(url):
    command = [os.environ["NODE"], os.environ["PERSON_SCRIPT"], url]
    browser = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    assert await browser.wait() == 0, "the person did not allow it"


async def came_back():
    return AuthorizationCodeResult(
        code=Callback.came["code"], state=Callback.came.get("state"), iss=Callback.came["iss"]
    )


async def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Callback)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    redirect = f"http://127.0.0.1:{server.server_port}/callback"
    metadata = OAuthClientMetadata(client_name="Python client", redirect_uris=[redirect])
    known = None
    if WAY == "known":
        known = OAuthClientInformationFull(client_id="python", redirect_uris=[redirect], token_endpoint_auth_method="none")
    memory = Memory(known)
    url = os.environ["GATEWAY"]
    document = os.environ.get("DOCUMENT") if WAY == "document" else None
    provider = OAuthClientProvider(url, metadata, memory, open_browser, came_back, document)
    async with create_mcp_http_client(auth=provider) as http_client:
        async with Client(streamable_http_client(url, http_client=http_client)) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            assert "stub__echo" in tools, tools
            # As when its ten minutes are over.
            provider.context.token_expiry_time = time.time() - 1
            result = await client.call_tool("stub__echo", {"text": "let in"})
            assert "let in" in result.content[0].text, result
    assert len(memory.all) >= 2 and memory.all[0] != memory.all[-1], "it was not renewed"
    print(memory.client.client_id)


asyncio.run(main())
