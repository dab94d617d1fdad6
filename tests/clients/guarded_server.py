"""An MCP server on the Python SDK that wants a token of an authorization server, checked with Authlib.

It is the resource `RESOURCE` (where a relay stands), and takes tokens of `ISSUER` for `AUDIENCE` with the scope `SCOPE`.
Prints where it listens, and ends when its input does.
"""

import json
import os
import socket
import sys
import threading
import time
import urllib.request

import uvicorn
from authlib.jose import JsonWebKey, JsonWebToken
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.transport_security import TransportSecuritySettings

ISSUER, RESOURCE, SCOPE = (os.environ[name] for name in ["ISSUER", "RESOURCE", "SCOPE"])
AUDIENCE = os.environ.get("AUDIENCE", RESOURCE)


def fetched(url):
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


class Verifier:
    async def verify_token(self, token):
        try:
            metadata = fetched(f"{ISSUER}/.well-known/openid-configuration")
            keys = JsonWebKey.import_key_set(fetched(metadata["jwks_uri"]))
            claims = JsonWebToken(["RS256", "ES256", "EdDSA"]).decode(token, keys)
            claims.validate(now=time.time(), leeway=5)
            audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
            if claims["iss"] != ISSUER or AUDIENCE not in audiences:
                raise ValueError(f"{claims['iss']} for {audiences}")
        except Exception as error:
            print(repr(error), file=sys.stderr)
            return None
        scopes = (claims.get("scope") or claims.get("scp") or "").split()
        client = claims.get("client_id") or claims.get("azp") or ""
        return AccessToken(
            token=token, client_id=client, scopes=scopes, expires_at=int(claims["exp"]), resource=RESOURCE,
            subject=claims.get("sub"), claims=dict(claims),
        )


server = MCPServer(
    "guarded",
    version="1",
    token_verifier=Verifier(),
    auth=AuthSettings(issuer_url=ISSUER, resource_server_url=RESOURCE, required_scopes=SCOPE.split()),
)


@server.tool(structured_output=False)
def whoami() -> str:
    """Says for whom the token is, and which one it is."""
    claims = get_access_token().claims
    return json.dumps({name: claims.get(name) for name in ["sub", "jti", "uti", "act", "azp", "client_id"]})


def until_input_ends():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=until_input_ends, daemon=True).start()
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(128)
print(f"127.0.0.1:{listener.getsockname()[1]}", flush=True)
anywhere = TransportSecuritySettings(enable_dns_rebinding_protection=False)
app = server.streamable_http_app(transport_security=anywhere)
uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listener])
