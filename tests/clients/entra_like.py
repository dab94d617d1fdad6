"""An issuer with the habits of Entra ID, signing with Authlib: no `resource`, `typ: JWT`, `azp`, `scp`, `tid`, app roles.

Serves discovery and keys; prints its issuer identifier. Each line on its input is a set of claims; it answers with
a token that has them besides its usual ones, of the type `_typ` if there is one, signed as the member `_` says: `good`, `stranger` (another key of the
same id), `none`, `hmac` (with the public key for a secret).

People log in at `/authorize` without being asked anything; with `_login` a line changes the ID tokens they get from then
on, with `error` the answer, and with `moved` the token endpoint sends whoever asks there. It says what it was asked last.
"""

import base64
import hashlib
import json
import secrets
import sys
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from authlib.jose import JsonWebKey, JsonWebToken

key = JsonWebKey.generate_key("RSA", 2048, {"kid": "e1", "use": "sig"}, is_private=True)
stranger = JsonWebKey.generate_key("RSA", 2048, {"kid": "e1", "use": "sig"}, is_private=True)


# What people who log in get, and what they asked for, by code.
login = {}
asked = {}
last = {}


def claimed(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def own(token):
    """A token of its own, for the gateway."""
    claims = JsonWebToken(["RS256"]).decode(token, key)
    claims.validate()
    assert claims["aud"] == "api://gateway" and claims["iss"] == issuer, claims
    return claims


def vouched(word):
    """The gateway's word, for this issuer and a few minutes."""
    with urllib.request.urlopen(f"{claimed(word)['iss']}/.well-known/jwks.json") as keys:
        claims = JsonWebToken(["EdDSA"]).decode(word, JsonWebKey.import_key_set(json.load(keys)))
    claims.validate()
    assert claims["aud"] == issuer and claims["exp"] <= time.time() + 300, claims
    return claims


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/authorize?"):
            return self.authorize()
        documents = {
            # Of no tenant, so its name is one of none either.
            "/common/v2.0/.well-known/openid-configuration": {
                "issuer": f"{base}/{{tenantid}}/v2.0",
                "jwks_uri": f"{base}/keys",
                "authorization_endpoint": f"{base}/authorize",
                "token_endpoint": f"{base}/token",
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
            },
            # It calls itself otherwise than it is asked for, by a slash.
            "/slash/.well-known/openid-configuration": {
                "issuer": f"{base}/slash/",
                "jwks_uri": f"{base}/keys",
                "authorization_endpoint": f"{base}/authorize",
                "token_endpoint": f"{base}/token",
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
                "authorization_response_iss_parameter_supported": True,
            },
            "/t1/v2.0/.well-known/openid-configuration": {
                "issuer": issuer,
                "jwks_uri": f"{base}/keys",
                "authorization_endpoint": f"{base}/authorize",
                "token_endpoint": f"{base}/token",
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
            },
            "/keys": {"keys": [key.as_dict(is_private=False)]},
        }
        document = documents.get(self.path)
        body = json.dumps(document or {}).encode()
        self.send_response(200 if document else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def authorize(self):
        """Whoever comes is logged in already."""
        form = dict(urllib.parse.parse_qsl(self.path.split("?", 1)[1]))
        last.clear()
        last.update(form)
        answer = {"state": form["state"], "session_state": "s"}
        if "error" in login:
            answer |= {"error": login["error"], "error_description": "AADSTS65004"}
        elif "resource" in form:
            answer |= {"error": "invalid_request", "error_description": "AADSTS901002"}
        else:
            answer["code"] = secrets.token_urlsafe(16)
            asked[answer["code"]] = form
        if login.get("iss_parameter"):
            answer["iss"] = login["iss_parameter"]
        self.send_response(302)
        self.send_header("Location", form["redirect_uri"] + "?" + urllib.parse.urlencode(answer))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def logged_in(self, form):
        """The ID token for a code, with an access token for something else."""
        if login.get("moved"):
            self.send_response(307)
            self.send_header("Location", login["moved"])
            self.send_header("Content-Length", "0")
            return self.end_headers()
        request = asked.pop(form["code"], None)
        proof = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        if not request or proof.decode() != request["code_challenge"] or form["redirect_uri"] != request["redirect_uri"]:
            return self.told(400, {"error": "invalid_grant", "error_description": "AADSTS70008"})
        if form.get("client_secret") != "a-secret-of-this-test-alone" or "resource" in form:
            return self.told(401, {"error": "invalid_client", "error_description": "AADSTS7000215"})
        now = int(time.time())
        claims = {"iss": f"{base}/t1/v2.0", "aud": request["client_id"], "sub": "pairwise-1", "oid": "o-alice", "tid": "t1"}
        claims |= {"iat": now, "nbf": now, "exp": now + 3900, "nonce": request.get("nonce"), "roles": ["MCP.Tester", "x"]}
        if "max_age" in request:
            claims["auth_time"] = now
        if "c1" in request.get("acr_values", ""):
            claims["acr"] = "c1"
        changes = dict(login)
        signer = stranger if changes.pop("stranger", None) else key
        claims = {name: value for name, value in (claims | changes).items() if value is not None}
        token = JsonWebToken(["RS256"]).encode({"typ": "JWT", "alg": "RS256", "kid": "e1"}, claims, signer).decode()
        answer = {"token_type": "Bearer", "expires_in": 3599, "access_token": "opaque", "id_token": token}
        self.told(200, answer)

    def do_POST(self):
        """The token endpoint: client credentials, without `resource`, for the scope that stands for all."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = dict(urllib.parse.parse_qsl(body))
        scope = form.get("scope", "")
        if form.get("grant_type", "").endswith(":token-exchange"):
            return self.exchanged(form)
        if form.get("requested_token_use") == "on_behalf_of":
            return self.on_behalf_of(form)
        if form.get("grant_type") == "authorization_code":
            return self.logged_in(form)
        if "resource" in form:
            error = "AADSTS901002: The 'resource' request parameter is not supported."
            status, answer = 400, {"error": "invalid_request", "error_description": error}
        elif form.get("client_secret") != "a-secret-of-this-test-alone" or not scope.endswith("/.default"):
            status, answer = 401, {"error": "invalid_client", "error_description": "AADSTS7000215"}
        else:
            now = int(time.time())
            claims = {"iss": issuer, "aud": scope.removesuffix("/.default"), "azp": form["client_id"], "iat": now}
            claims |= {"nbf": now, "exp": now + 3600, "sub": "o-app", "tid": "t1", "scp": "Gateway.Use", "uti": f"u{now}"}
            token = JsonWebToken(["RS256"]).encode({"typ": "JWT", "alg": "RS256", "kid": "e1"}, claims, key)
            status, answer = 200, {"token_type": "Bearer", "expires_in": 3599, "access_token": token.decode()}
        self.told(status, answer)

    def exchanged(self, form):
        """RFC 8693: a token for the user and the agent that another issuer vouches for, in a token for this one."""
        word, now = form["subject_token"], int(time.time())
        if claimed(word)["iss"] == issuer:
            # A token of its own for the gateway, and the gateway's word for the agent that acts.
            claims, id = own(word), secrets.token_urlsafe(8)
            act = {"sub": vouched(form["actor_token"])["sub"]}
        else:
            claims = vouched(word)
            id, act = claims["jti"], claims.get("act")
        given = {"iss": issuer, "aud": form["audience"], "sub": claims["sub"], "act": act, "iat": now}
        scope = "Gateway.Use" if form["scope"].endswith("/.default") else form["scope"]
        given |= {"exp": now + 300, "scp": scope, "uti": id, "azp": form["client_id"]}
        token = JsonWebToken(["RS256"]).encode({"typ": "JWT", "alg": "RS256", "kid": "e1"}, given, key)
        kind = "urn:ietf:params:oauth:token-type:access_token"
        answer = {"token_type": "Bearer", "expires_in": 300, "access_token": token.decode(), "issued_token_type": kind}
        self.told(200, answer)

    def on_behalf_of(self, form):
        """Entra's own way: a token for the user of another token, which was for whoever asks."""
        refused = None
        if form["grant_type"] != "urn:ietf:params:oauth:grant-type:jwt-bearer" or "resource" in form:
            refused = {"error": "invalid_request", "error_description": "AADSTS901002"}
        elif form.get("client_secret") != "a-secret-of-this-test-alone" or not form["scope"].endswith("/.default"):
            refused = {"error": "invalid_client", "error_description": "AADSTS7000215"}
        elif form["scope"] == "api://strict/.default":
            refused = {"error": "interaction_required", "error_description": "AADSTS50076: use multi-factor authentication"}
        if refused:
            return self.told(400, refused)
        claims, now = own(form["assertion"]), int(time.time())
        given = {"iss": issuer, "aud": form["scope"].removesuffix("/.default"), "sub": claims["sub"], "oid": claims["oid"]}
        given |= {"azp": form["client_id"], "iat": now, "exp": now + 3600, "scp": "Gateway.Use"}
        given["uti"] = secrets.token_urlsafe(8)
        token = JsonWebToken(["RS256"]).encode({"typ": "JWT", "alg": "RS256", "kid": "e1"}, given, key)
        self.told(200, {"token_type": "Bearer", "expires_in": 3599, "access_token": token.decode()})

    def told(self, status, answer):
        answer = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
base = f"http://127.0.0.1:{server.server_port}"
issuer = f"{base}/t1/v2.0"
threading.Thread(target=server.serve_forever, daemon=True).start()
print(issuer, flush=True)

for line in sys.stdin:
    changes = json.loads(line)
    if "_login" in changes:
        login.clear()
        login.update(changes["_login"])
        print(json.dumps(last), flush=True)
        continue
    how = changes.pop("_", "good")
    typ = changes.pop("_typ", "JWT")
    now = int(time.time())
    claims = {
        "iss": issuer,
        "aud": "api://gateway",
        "azp": "c0ffee",
        "oid": "o-alice",
        "sub": "pairwise-1",
        "tid": "t1",
        "scp": "Gateway.Use",
        "roles": ["MCP.Doctor", "admin"],
        "iat": now,
        "nbf": now,
        "exp": now + 3600,
        "uti": f"u{now}",
    } | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    header = {"typ": typ, "alg": "RS256", "kid": "e1"}
    if how == "none":
        token = JsonWebToken(["none"]).encode(header | {"alg": "none"}, claims, None)
    elif how == "hmac":
        secret = {"kty": "oct", "k": key.as_dict(is_private=False)["n"]}
        token = JsonWebToken(["HS256"]).encode(header | {"alg": "HS256"}, claims, JsonWebKey.import_key(secret))
    else:
        signer = stranger if how == "stranger" else key
        token = JsonWebToken(["RS256"]).encode(header, claims, signer)
    print(token.decode(), flush=True)
