"""An agent that signs its requests (RFC 9421): the Python SDK, with PyPI's `http-message-signatures` as its auth.

`keys DIR KIND` writes a key pair, `KIND-key.pem` and `KIND-keys.json`. `call ENDPOINT` calls a tool, `declare CLAIMS`
makes a declaration of a model, `post CASES` posts signed requests to be let in, `old BASE` speaks over
HTTP+SSE and WebSocket, `send CASES`
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
import jwt
from authlib.jose import JsonWebKey, JsonWebSignature
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from http_message_signatures import HTTPMessageSigner, HTTPSignatureKeyResolver, algorithms
from http_message_signatures.httpx2 import adapt_message

KINDS = {
    "ed25519": (("OKP", "Ed25519"), algorithms.ED25519),
    "es256": (("EC", "P-256"), algorithms.ECDSA_P256_SHA256),
}


def keys(directory, kind):
    while True:
        key = JsonWebKey.generate_key(*KINDS[kind][0], is_private=True)
        public = key.as_dict(is_private=False)
        # Authlib leaves out zeros that a coordinate begins with, which RFC 7518 does not (section 6.2.1.2).
        if all(len(public.get(name, "x" * 43)) == 43 for name in ("x", "y")):
            break
    Path(directory, f"{kind}-key.pem").write_bytes(key.as_pem(is_private=True))
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


async def old(base):
    """The wires of before: HTTP+SSE with the SDK, each request signed; and WebSocket, whose upgrade is."""
    from mcp import ClientSession
    from mcp.client.sse import sse_client
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidStatus

    async with sse_client(f"{base}/sse", auth=Signing()) as (read, write):
        async with ClientSession(read, write) as session:
            await session.initialize()
            result = await session.call_tool("stub__echo", {"text": "over sse"})
            said = [block.text for block in result.content]

    upgrade = next(Signing().auth_flow(httpx2.Request("GET", f"{base}/ws")))
    headers = {name: upgrade.headers[name] for name in ("signature", "signature-input")}
    at = f"{base.replace('http', 'ws', 1)}/ws"
    async with connect(at, additional_headers=headers, subprotocols=["mcp"]) as socket:
        echo = {"name": "stub__echo", "arguments": {"text": "over ws"}}
        await socket.send(json.dumps(INITIALIZE))
        await socket.recv()
        await socket.send(json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        for number in (2, 3):
            await socket.send(json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": echo}))
            while (answer := json.loads(await socket.recv())).get("id") != number:
                pass
            said += [block["text"] for block in answer["result"]["content"]]

    refused = []
    for wrong in (headers, {}, headers | {"signature-input": headers["signature-input"].replace("nonce=", "nonce=x")}):
        try:
            async with connect(at, additional_headers=wrong, subprotocols=["mcp"]):
                refused.append(101)
        except InvalidStatus as error:
            refused.append(error.response.status_code)

    # A message on somebody's stream has to be signed itself, whole and by its owner.
    with httpx2.Client() as client, client.stream("GET", f"{base}/sse", headers={"accept": "text/event-stream"},
                                                  auth=Signing()) as stream:
        lines = stream.iter_lines()
        while not (line := next(lines)).startswith("data:"):
            pass
        address = line.removeprefix("data:").strip()
        for fault in ("none", "unsigned", "body"):
            request = httpx2.Request("POST", f"{base}{address}", json=INITIALIZE)
            if fault != "unsigned":
                request = next(Signing().auth_flow(request))
            content = request.content.replace(b'"t"', b'"u"') if fault == "body" else request.content
            for _ in range(2 if fault == "none" else 1):
                # Each over a connection of its own.
                answer = httpx2.post(request.url, content=content, headers=request.headers)
                refused.append(answer.status_code)
    print(json.dumps({"said": said, "statuses": refused}))


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


def token(case):
    """A JWS by PyJWT, with the public key in its header where that is wanted."""
    key = load_pem_private_key(Path(case["key"]).read_bytes(), None)
    header = {"typ": case["typ"]} | case.get("header", {})
    if shown := case.get("shows"):
        header["jwk"] = {k: v for k, v in json.loads(Path(shown).read_text())["keys"][0].items() if k != "kid"}
    now = int(datetime.datetime.now().timestamp())
    claims = {"iat": now, "exp": now + 60, "jti": secrets.token_urlsafe(16)} | case["claims"]
    if inner := case.get("next"):
        claims["next"] = token(inner)
    algorithm = "ES256" if "es256" in case["key"] else "EdDSA"
    return jwt.encode(claims, key, algorithm=algorithm, headers=header)


def post(case):
    """Posts a JWS, and gives the answer's status and what it says."""
    with httpx2.Client() as client:
        answer = client.post(case["url"], content=token(case), headers={"content-type": case.get("type", "application/jwt")})
        return [answer.status_code, answer.json() if answer.content else None]


match sys.argv[1]:
    case "post":
        print(json.dumps([post(case) for case in json.loads(sys.argv[2])]))
    case "keys":
        keys(sys.argv[2], sys.argv[3])
    case "declare":
        print(json.dumps(declare(json.loads(sys.argv[2]))))
    case "old":
        asyncio.run(old(sys.argv[2]))
    case "call":
        asyncio.run(call(sys.argv[2]))
    case "send":
        print(json.dumps([send(case) for case in json.loads(sys.argv[2])]))
