"""An identity provider on Authlib's own authorization server, with the habits of Entra ID.

Authlib does the grants: authorization code with PKCE and OpenID Connect, refresh with rotation, device codes, client
credentials, and the clients' proofs; exchanges are grants of ours, registered with it. The habits, the clients and the pages
are those of `oidc_provider.mjs` with `QUIRKS=entra`: no `resource`, no registration, nothing said of PKCE, tokens of the type
JWT with `scp`, `azp`, `oid` and `tid`, scopes that name the resource, `acr` `c1` for whoever asks for it.

Listens at `PORT`, or anywhere, and prints its issuer: that, or `ISSUER` where a relay stands before it.
"""

import base64
import html
import json
import os
import secrets
import sys
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

from authlib.oauth2 import AuthorizationServer, OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, BaseGrant, ClientMixin, TokenEndpointMixin, grants
from authlib.oauth2.rfc6749.errors import InvalidGrantError, InvalidRequestError
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint, DeviceCodeGrant, DeviceCredentialDict
from authlib.oidc.core import OpenIDCode
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

SECRET = "a-secret-of-this-test-alone"
TTL = int(os.environ.get("TTL", "600"))
TYPE = "urn:ietf:params:oauth:token-type:"
GRANT = "urn:ietf:params:oauth:grant-type:"
key = RSAKey.generate_key(2048, {"kid": f"a{int(time.time() * 1000)}", "use": "sig", "alg": "RS256"}, private=True)


def signed(claims, typ="JWT"):
    now = int(time.time())
    claims = {"iss": issuer, "iat": now, "nbf": now, "exp": now + TTL, "tid": "t1"} | claims
    return jwt.encode({"typ": typ, "alg": "RS256", "kid": key.kid}, claims, key)


def own(token):
    """What a token of this one says that has not ended."""
    try:
        claims = jwt.decode(token, key, algorithms=["RS256"]).claims
    except ValueError as error:
        raise InvalidGrantError("the token shown is none of ours") from error
    if claims["iss"] != issuer or claims["exp"] < time.time():
        raise InvalidGrantError("the token shown is none of ours")
    return claims


def vouched(word):
    """What another issuer says of somebody, in a word for this one."""
    with urllib.request.urlopen(f"{unchecked(word)['iss']}/.well-known/jwks.json") as keys:
        claims = jwt.decode(word, KeySet.import_key_set(json.load(keys)), algorithms=["EdDSA", "Ed25519"]).claims
    if claims["aud"] != issuer or not time.time() < claims["exp"] < time.time() + 300:
        raise InvalidGrantError("nobody vouches for that")
    return claims


def unchecked(word):
    payload = word.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def audience(scope):
    """What a token is for: scopes that name the resource, and the gateway's."""
    named = [one.removesuffix("/.default") for one in (scope or "").split() if one.endswith("/.default")]
    return named[0] if named else "api://gateway"


class Client(ClientMixin):
    def __init__(self, name, grant_types, redirect=None, is_public=False):
        self.name, self.grant_types, self.redirect, self.is_public = name, grant_types, redirect, is_public

    def get_client_id(self):
        return self.name

    def get_default_redirect_uri(self):
        return self.redirect

    def get_allowed_scope(self, scope):
        return scope or ""

    def check_redirect_uri(self, redirect_uri):
        if self.is_public:
            # RFC 8252 section 7.3: any port of this machine.
            parts = urllib.parse.urlsplit(redirect_uri)
            return (parts.scheme, parts.hostname, parts.path) == ("http", "localhost", "/oauth/callback")
        return redirect_uri == self.redirect

    def check_client_secret(self, client_secret):
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method, endpoint):
        return method == ("none" if self.is_public else "client_secret_post")

    def check_response_type(self, response_type):
        return response_type == "code" and self.redirect is not None

    def check_grant_type(self, grant_type):
        return grant_type in self.grant_types


LOGIN = os.environ.get("REDIRECT", "https://gateway.example/oauth/login/corp/callback")
UPSTREAM = os.environ.get("UPSTREAM", "https://gateway.example/oauth/upstream/callback")
code, renewed = "authorization_code", "refresh_token"
clients = {
    client.name: client
    for client in [
        Client("0oa-scribe", [code, "client_credentials"], "https://client.example/callback"),
        Client("gateway", [code], LOGIN),
        Client("exchanger", ["client_credentials", GRANT + "jwt-bearer", GRANT + "token-exchange"]),
        Client("notes", [code, renewed], UPSTREAM),
        Client("cli", [code, renewed, GRANT + "device_code"], "http://localhost/oauth/callback", is_public=True),
    ]
}
codes, refreshes, devices, answered, underway = {}, {}, {}, {}, {}


class Code(AuthorizationCodeMixin):
    def __init__(self, text, request):
        data = request.payload.data
        self.text, self.client, self.user, self.scope = text, request.payload.client_id, request.user, request.scope
        self.redirect, self.nonce = data.get("redirect_uri"), data.get("nonce")
        self.code_challenge, self.code_challenge_method = data.get("code_challenge"), data.get("code_challenge_method")
        self.acr = "c1" if "c1" in data.get("acr_values", "") else None
        self.at = int(time.time())

    def get_redirect_uri(self):
        return self.redirect

    def get_scope(self):
        return self.scope

    def get_nonce(self):
        return self.nonce

    def get_auth_time(self):
        return self.at

    def get_acr(self):
        return self.acr

    def get_amr(self):
        return ["pwd", "mfa"] if self.acr else ["pwd"]


class Refresh:
    def __init__(self, client, user, scope):
        self.client, self.user, self.scope = client, user, scope

    def check_client(self, client):
        return client.get_client_id() == self.client

    def get_scope(self):
        return self.scope


class ByCode(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_post", "none"]

    def save_authorization_code(self, code, request):
        codes[code] = Code(code, request)

    def query_authorization_code(self, code, client):
        found = codes.get(code)
        return found if found and found.client == client.get_client_id() and time.time() < found.at + 60 else None

    def delete_authorization_code(self, authorization_code):
        codes.pop(authorization_code.text)

    def authenticate_user(self, authorization_code):
        return authorization_code.user


class WhoIsIt(OpenIDCode):
    def exists_nonce(self, nonce, request):
        return False

    def resolve_client_private_key(self, client):
        return key

    def get_client_algorithm(self, client):
        return "RS256"

    def get_encode_header(self, client):
        return {"alg": "RS256", "kid": key.kid, "typ": "JWT"}

    def get_client_claims(self, client):
        now = int(time.time())
        return {"iss": issuer, "iat": now, "nbf": now, "exp": now + 3900}

    def generate_user_info(self, user, scope):
        return {"sub": user, "oid": f"o-{user}", "tid": "t1", "roles": ["MCP.Doctor", "admin"]}


class ByRefresh(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_post", "none"]
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token):
        self.shown = refresh_token
        return refreshes.get(refresh_token)

    def authenticate_user(self, refresh_token):
        return refresh_token.user

    def revoke_old_credential(self, refresh_token):
        refreshes.pop(self.shown)


class ByItself(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_post"]


class Device(DeviceAuthorizationEndpoint):
    def get_verification_uri(self):
        return f"{issuer}/device"

    def save_device_credential(self, client_id, scope, data):
        ends = {"expires_at": time.time() + data["expires_in"]}
        devices[data["device_code"]] = DeviceCredentialDict(client_id=client_id, scope=scope, **data, **ends)


class ByDevice(DeviceCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["none"]

    def query_device_credential(self, device_code):
        return devices.get(device_code)

    def query_user_grant(self, user_code):
        return answered.get(user_code)

    def should_slow_down(self, credential):
        return False


class Ours(BaseGrant, TokenEndpointMixin):
    """A grant that Authlib has not: what is shown is judged by `claims`."""

    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_post"]

    def validate_token_request(self):
        client = self.authenticate_token_endpoint_client()
        if not client.check_grant_type(self.GRANT_TYPE):
            raise InvalidRequestError("AADSTS70003")
        self.request.client = client

    def given(self, user, audience, **more):
        claims = {"sub": user, "oid": f"o-{user}", "azp": self.request.client.name, "aud": audience, "scp": "Gateway.Use"}
        token = signed(claims | more | {"uti": secrets.token_hex(8)})
        return {"token_type": "Bearer", "expires_in": TTL, "access_token": token}


class OnBehalf(Ours):
    GRANT_TYPE = GRANT + "jwt-bearer"

    def create_token_response(self):
        form = self.request.form
        if form.get("requested_token_use") != "on_behalf_of" or not form.get("scope", "").endswith("/.default"):
            raise InvalidRequestError("AADSTS70000")
        claims = own(form["assertion"])
        if claims["aud"] != "api://gateway":
            raise InvalidGrantError("AADSTS500131")
        return 200, self.given(claims["sub"], audience(form["scope"])), self.TOKEN_RESPONSE_HEADER


class Exchange(Ours):
    GRANT_TYPE = GRANT + "token-exchange"

    def create_token_response(self):
        form = self.request.form
        if form.get("requested_token_type") == TYPE + "id-jag":
            # For the user of a token of this one, to one authorization server and one resource of it.
            claims, now = own(form["subject_token"]), int(time.time())
            word = {name: claims[name] for name in ["sub", "oid"]} | {"jti": secrets.token_hex(8), "exp": now + 120}
            word |= {"aud": form["audience"], "resource": form["resource"], "client_id": self.request.client.name}
            token = signed(word | {"scope": form.get("scope", "")}, "oauth-id-jag+jwt")
            answer = {"token_type": "N_A", "access_token": token, "issued_token_type": TYPE + "id-jag", "expires_in": 120}
        elif form.get("subject_token_type") == TYPE + "jwt":
            claims = vouched(form["subject_token"])
            answer = self.given(claims["sub"], form["audience"], act=claims.get("act"))
            answer["issued_token_type"] = TYPE + "access_token"
        else:
            raise InvalidRequestError("that is not exchanged here")
        return 200, answer, self.TOKEN_RESPONSE_HEADER


class Request(OAuth2Request):
    def __init__(self, handler, query, form):
        super().__init__(handler.command, issuer + handler.path, headers=handler.headers)
        self._query, self._form = query, form
        self.payload = BasicOAuth2Payload(query | form)

    @property
    def args(self):
        return self._query

    @property
    def form(self):
        return self._form


class Server(AuthorizationServer):
    def query_client(self, client_id):
        return clients.get(client_id)

    def save_token(self, token, request):
        if "refresh_token" in token:
            user = request.user
            refreshes[token["refresh_token"]] = Refresh(request.client.name, user, token["scope"])

    def create_oauth2_request(self, request):
        return request

    def handle_response(self, status, body, headers):
        return status, body, headers

    def send_signal(self, name, *args, **kwargs):
        pass


def token(grant_type, client, user=None, scope=None, expires_in=None, include_refresh_token=True):
    who = {"sub": user, "oid": f"o-{user}", "roles": ["MCP.Doctor", "admin"]} if user else {"sub": client.name, "oid": "o-app"}
    claims = who | {"aud": audience(scope), "azp": client.name, "scp": "Gateway.Use", "uti": secrets.token_hex(8)}
    given = {"token_type": "Bearer", "access_token": signed(claims), "expires_in": TTL, "scope": scope or ""}
    if include_refresh_token and user and "offline_access" in (scope or "").split():
        given["refresh_token"] = secrets.token_urlsafe(32)
    return given


server = Server()
server.register_token_generator("default", token)
server.register_grant(ByCode, [CodeChallenge(required=True), WhoIsIt()])
for grant in [ByRefresh, ByItself, ByDevice, OnBehalf, Exchange]:
    server.register_grant(grant)
server.register_endpoint(Device)


def form_of(action, fields):
    inputs = "".join(f'<input type="{kind}" name="{name}" value="{html.escape(value)}">' for kind, name, value in fields)
    page = f'<form method="post" action="{html.escape(action)}">{inputs}<button type="submit">Continue</button></form>'
    return 200, page, [("Content-Type", "text/html")]


ASKS = [("hidden", "prompt", "login"), ("text", "login", ""), ("password", "password", "")]
AGREES = [("hidden", "prompt", "consent")]


class Handler(BaseHTTPRequestHandler):
    def metadata(self):
        at = lambda path: f"{issuer}{path}"
        methods = ["client_secret_post"]
        return {
            "issuer": issuer, "jwks_uri": at("/keys"), "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"), "device_authorization_endpoint": at("/devicecode"),
            "response_types_supported": ["code"], "token_endpoint_auth_methods_supported": methods,
            "scopes_supported": ["openid", "offline_access"], "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def do_GET(self):
        path, query = self.parts()
        if path == "/.well-known/openid-configuration":
            return self.told(200, self.metadata())
        if path == "/keys":
            return self.told(200, {"keys": [key.as_dict(private=False)]})
        if path == "/authorize":
            return self.begin(query)
        if path.startswith("/interaction/"):
            return self.told(*form_of(path, AGREES))
        if path == "/device":
            return self.told(*form_of("/device", [("text", "user_code", query.get("user_code", ""))]))
        return self.told(404, {})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        form = dict(urllib.parse.parse_qsl(body))
        path, query = self.parts()
        if path.startswith("/interaction/"):
            return self.told(*self.interact(path.rpartition("/")[2], form))
        if path == "/device":
            return self.told(*self.device(form))
        request = Request(self, query, form)
        if "resource" in form and form.get("requested_token_type") != TYPE + "id-jag":
            error = "AADSTS901002: The 'resource' request parameter is not supported."
            return self.told(400, {"error": "invalid_request", "error_description": error})
        if path == "/token":
            return self.told(*server.create_token_response(request))
        if path == "/devicecode":
            return self.told(*server.create_endpoint_response("device_authorization", request))
        return self.told(404, {})

    def begin(self, query):
        """A person comes: Authlib judges the request before anybody is asked anything."""
        if "resource" in query:
            return self.told(400, "AADSTS901002", [("Content-Type", "text/plain")])
        if "code_challenge" not in query:
            return self.told(400, "AADSTS9002325", [("Content-Type", "text/plain")])
        request = Request(self, query, {})
        try:
            grant = server.get_consent_grant(request, end_user=None)
        except OAuth2Error as error:
            return self.told(*server.handle_error_response(request, error))
        id = secrets.token_urlsafe(16)
        underway[id] = (request, grant, None)
        return self.told(*form_of(f"/interaction/{id}", ASKS))

    def interact(self, id, form):
        request, grant, user = underway.pop(id)
        if user is None:
            underway[id] = (request, grant, form["login"])
            return 303, "", [("Location", f"/interaction/{id}")]
        return server.create_authorization_response(request, grant_user=user, grant=grant)

    def device(self, form):
        user_code, user = form["user_code"], form.get("login")
        if not any(one.get_user_code() == user_code for one in devices.values()):
            return 400, "no such code", [("Content-Type", "text/plain")]
        if user is None:
            return form_of("/device", [("hidden", "user_code", user_code), *ASKS])
        answered[user_code] = (user, True)
        return 200, "you may go back to your device", [("Content-Type", "text/plain")]

    def parts(self):
        parts = urllib.parse.urlsplit(self.path)
        return parts.path, dict(urllib.parse.parse_qsl(parts.query))

    def told(self, status, body, headers=()):
        if isinstance(body, dict):
            body, headers = json.dumps(body), [("Content-Type", "application/json")]
        body = body.encode()
        self.send_response(status)
        for name, value in [*headers, ("Content-Length", str(len(body)))]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


listening = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "0"))), Handler)
issuer = os.environ.get("ISSUER", f"http://127.0.0.1:{listening.server_port}")
threading.Thread(target=listening.serve_forever, daemon=True).start()
print(issuer, flush=True)
sys.stdin.read()
