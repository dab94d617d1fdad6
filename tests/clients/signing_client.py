"""An agent that signs its requests (RFC 9421): the Python SDK, with PyPI's `http-message-signatures` as its auth.

`keys DIR KIND` writes a key pair, `KIND-key.pem` and `KIND-keys.json`. `call ENDPOINT` calls a tool, `declare CLAIMS`
makes a declaration of a model, `send CASES`
sends requests with faults and prints the answers' statuses. Nothing of the gateway's is in it.
"""

import asyncio
import datetime
import json
import os
import secrets
import sys
from pathlib import Path

import httpx2
from authlib.jose import JsonWebKey, JsonWebSignature
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from http_message_signatures import HTTPMessageSigner, HTTPSignatureKeyResolver, algorithms
from http_message_signatures.httpx2 import adapt_message

KINDS = {
    "ed25519": (("OKP", "Ed25519"), algorithms.ED25519),
    "es256": (("EC", "P-256"), algorithms.ECDSA_P256_SHA256),
}


def keys(directory, kind):
    key = JsonWebKey.generate_key(*KINDS[kind][0], is_private=True)
    Path(directory, f"{kind}-key.pem").write_bytes(key.as_pem(is_private=True))
    public = key.as_dict(is_private=False)
    public["kid"] = f"{kind}-1"
    Path(directory, f"{kind}-keys.json").write_text(json.dumps({"keys": [public]}))


class Keys(HTTPSignatureKeyResolver):
    def resolve_private_key(self, key_id):
        return load_pem_private_key(Path(os.environ["KEY"]).read_bytes(), None)


class Signing(httpx2.Auth):
    """Signs each request as it leaves."""

    requires_request_body = True

    def __init__(self, nonce=None, created=None, leave_out=()):
        kind = os.environ.get("KIND", "ed25519")
        self.signer = HTTPMessageSigner(signature_algorithm=KINDS[kind][1], key_resolver=Keys())
        self.nonce, self.created, self.leave_out = nonce, created, leave_out

    def auth_flow(self, request):
        if token := os.environ.get("TOKEN"):
            request.headers["authorization"] = f"Bearer {token}"
        covered = ["@method", "@target-uri"]
        covered += ["content-digest"] if request.content else []
        covered += [name for name in ("authorization", "sallyport-model") if name in request.headers]
        self.signer.sign(
            adapt_message(request),
            key_id=os.environ["KEY_ID"],
            created=self.created,
            nonce=self.nonce or secrets.token_urlsafe(16),
            covered_component_ids=[name for name in covered if name not in self.leave_out],
            # With a body, the library covers it whatever it is told.
            body=request.content if "content-digest" in covered and "content-digest" not in self.leave_out else None,
        )
        yield request


def declare(claims):
    """A declaration of a model, signed by the key (RFC 7515), by Authlib."""
    kind = os.environ.get("KIND", "ed25519")
    now = int(datetime.datetime.now().timestamp())
    header = {"alg": {"ed25519": "EdDSA", "es256": "ES256"}[kind], "typ": "sallyport-model+jwt"}
    header["kid"] = claims.pop("kid", os.environ["KEY_ID"])
    payload = {"iat": now, "exp": now + 3600} | claims
    signed = JsonWebSignature(["EdDSA", "ES256"]).serialize_compact(
        header, json.dumps(payload), Path(os.environ["KEY"]).read_bytes()
    )
    return signed.decode()


async def call(endpoint):
    from mcp import Client
    from mcp.shared.exceptions import MCPError
    from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client

    async with create_mcp_http_client(auth=Signing()) as http:
        if claims := os.environ.get("DECLARES"):
            http.headers["sallyport-model"] = declare(json.loads(claims))
        async with Client(streamable_http_client(endpoint, http_client=http)) as client:
            try:
                result = await client.call_tool("stub__echo", {"text": "hello"})
                said, error = [block.text for block in result.content], result.is_error
            except MCPError as refused:
                said, error = [str(refused)], True
            print(json.dumps({"said": said, "error": error}))


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}


def send(case):
    """Sends one request with a fault, and gives the answer's status."""
    os.environ.pop("TOKEN", None)
    os.environ.update(case.get("env", {}))
    fault = case["fault"]
    late = datetime.timedelta(seconds=-120 if fault == "old" else 120 if fault == "future" else 0)
    auth = Signing(
        nonce=secrets.token_urlsafe(16),
        created=datetime.datetime.now() + late,
        leave_out={"body not covered": ["content-digest"], "token not covered": ["authorization"]}.get(fault, ()),
    )
    with httpx2.Client() as client:
        headers = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
        if claims := case.get("declares"):
            headers["sallyport-model"] = declare(claims)
        request = client.build_request("POST", case["endpoint"], json=INITIALIZE, headers=headers)
        request = next(auth.auth_flow(request))
        content = request.content
        if fault == "body changed":
            content = content.replace(b'"t"', b'"u"')
        if fault == "url changed":
            request.url = request.url.copy_with(query=b"x=1")
        if fault == "as a bearer alone":
            del request.headers["signature"], request.headers["signature-input"]
        request = client.build_request(request.method, request.url, content=content, headers=request.headers)
        if fault == "replayed":
            client.send(request)
        return client.send(request).status_code


match sys.argv[1]:
    case "keys":
        keys(sys.argv[2], sys.argv[3])
    case "declare":
        print(json.dumps(declare(json.loads(sys.argv[2]))))
    case "call":
        asyncio.run(call(sys.argv[2]))
    case "send":
        print(json.dumps([send(case) for case in json.loads(sys.argv[2])]))
