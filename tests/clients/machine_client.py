"""Programs without a person: the Python SDK's own providers, with nothing of the gateway's in them.

`keys DIR` writes a key pair. `call ENDPOINT` gets a token in the way `WAY` says and calls the tool `TOOL`.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from authlib.jose import JsonWebKey
from mcp import Client
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.auth.extensions.identity_assertion import IdentityAssertionOAuthProvider
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client


class Memory:
    """Where the SDK keeps what it gets."""

    def __init__(self):
        self.tokens = self.client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


def keys(directory):
    key = JsonWebKey.generate_key("EC", "P-256", is_private=True)
    Path(directory, "key.pem").write_bytes(key.as_pem(is_private=True))
    Path(directory, "keys.json").write_text(json.dumps({"keys": [key.as_dict(is_private=False)]}))


def provider(endpoint):
    client, secret = os.environ["CLIENT"], os.environ.get("SECRET")
    match os.environ["WAY"]:
        case "secret":
            return ClientCredentialsOAuthProvider(endpoint, Memory(), client, secret)
        case "key":
            signing = SignedJWTParameters(
                issuer=client,
                subject=client,
                signing_algorithm="ES256",
                signing_key=Path(os.environ["KEY"]).read_text(),
            )
            return PrivateKeyJWTOAuthProvider(endpoint, Memory(), client, signing.create_assertion_provider())
        case "assertion":

            async def assertion(audience, resource):
                # The identity provider is asked by whoever runs the client; here the test is.
                print(json.dumps({"aud": audience, "resource": resource}), flush=True)
                return sys.stdin.readline().strip()

            return IdentityAssertionOAuthProvider(
                endpoint,
                Memory(),
                client_id=client,
                client_secret=secret,
                issuer=os.environ["ISSUER"],
                assertion_provider=assertion,
            )


async def call(endpoint):
    async with create_mcp_http_client(auth=provider(endpoint)) as http:
        async with Client(streamable_http_client(endpoint, http_client=http)) as client:
            result = await client.call_tool("stub__echo", {"text": "hello"})
            print(json.dumps({"said": [block.text for block in result.content], "error": result.is_error}))


if sys.argv[1] == "keys":
    keys(sys.argv[2])
else:
    asyncio.run(call(sys.argv[2]))
