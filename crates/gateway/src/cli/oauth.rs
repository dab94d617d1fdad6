//! `sallyport oauth doctor URL`: walks the way to a token for a server, step by step, and says what is wrong and the line of
//! the configuration that mends it. It goes the way the gateway goes, with the gateway's own code.

mod findings;

use std::sync::Arc;

use clap::{Args, Subcommand};
use hyper::{
    Method, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue},
};
use identity::{
    Secret,
    assertion::{ClientKey, Proving},
};
use wire::json::object;

use super::{Common, say};
use crate::{
    ambient::Ambient,
    config::auth::{ClientIdentity, ClientProof},
    failure::Failure,
    known::issuers::{Call, Fetched, Guarded, Network},
    outside::oauth::{
        Challenge,
        discovery::{self, Found, Resource},
        tokens::{DPOP, Given, Nonces, TokenEndpoint},
    },
    tls,
};
use findings::{challenged, machines, offered, people, registered, token};

/// Identity providers: what a server wants, and what its authorization server gives.
#[derive(Debug, Subcommand)]
pub(crate) enum Oauth {
    /// Walk the way to a token for a server, and say what is wrong and what mends it.
    Doctor(Doctor),
}

/// Walk the way to a token.
#[derive(Args, Debug)]
pub(crate) struct Doctor {
    /// The server's URL, such as https://mcp.example/mcp.
    url: String,
    /// The authorization server, where the server names several or none.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// The client id, to ask for a token with; SALLYPORT_CLIENT_ID unless given. The secret is read from
    /// SALLYPORT_CLIENT_SECRET.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// A file with the client's private key in PEM, instead of a secret.
    #[arg(long, value_name = "FILE")]
    key: Option<std::path::PathBuf>,
    /// Scopes to ask for; what the server asks for unless given.
    #[arg(long)]
    scope: Option<String>,
    /// A refresh token to try; read from SALLYPORT_REFRESH_TOKEN.
    #[arg(long)]
    refresh: bool,
    /// Register a client there, to see whether it can be done. It stays.
    #[arg(long)]
    register: bool,
    /// Allow addresses of one's own network.
    #[arg(long)]
    private: bool,
    /// A PEM file of authorities believed instead of the public ones.
    #[arg(long, value_name = "FILE")]
    ca: Option<std::path::PathBuf>,
}

/// How a step went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Ok,
    Warn,
    Fail,
    Skip,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

struct Step {
    name: &'static str,
    state: State,
    what: String,
    /// What mends it: a line of the configuration, or what to do.
    fix: Option<String>,
}

/// What was found on the way.
#[derive(Default)]
struct Walk {
    steps: Vec<Step>,
    /// What belongs under `auth`.
    auth: Vec<String>,
}

impl Walk {
    fn note(&mut self, name: &'static str, state: State, what: impl Into<String>) {
        self.fix(name, state, what, None);
    }

    fn fix(&mut self, name: &'static str, state: State, what: impl Into<String>, fix: Option<&str>) {
        self.steps.push(Step {
            name,
            state,
            what: what.into(),
            fix: fix.map(str::to_owned),
        });
    }

    fn has_failed(&self) -> bool {
        self.steps.iter().any(|step| step.state == State::Fail)
    }
}

impl Oauth {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        let Self::Doctor(doctor) = self;
        let walk = super::block_on(doctor.walk())?;
        doctor.tell(&walk, common);
        if walk.has_failed() {
            return Err(Failure::does_not_hold("something on the way to a token is wrong"));
        }
        Ok(())
    }
}

impl Doctor {
    async fn walk(&self) -> Result<Walk, Failure> {
        let guarded = self.guarded()?;
        let mut walk = Walk::default();
        let first = self.knock(&guarded, &[]).await.map_err(Failure::unreachable)?;
        let challenge = Challenge::of(&first.headers);
        if !challenged(&mut walk, &first, &challenge) {
            return Ok(walk);
        }
        let Some(resource) = self.resource(&mut walk, &guarded, &challenge).await else {
            return Ok(walk);
        };
        let issuer = match (
            &self.issuer,
            discovery::issuer_of(&resource, self.issuer.as_deref()),
        ) {
            (_, Ok(issuer)) => issuer.to_owned(),
            (Some(named), Err(_)) if resource.issuers.is_empty() => named.clone(),
            (_, Err(why)) => {
                let fix = "mcpServers.NAME.auth: { issuer: \"URL\" }";
                walk.fix("authorization server", State::Fail, why, Some(fix));
                return Ok(walk);
            }
        };
        if resource.issuers.len() != 1 {
            walk.auth.push(format!("issuer: \"{issuer}\""));
        }
        let server = match discovery::metadata(&guarded, &issuer).await {
            Ok(server) => server,
            Err(why) => {
                let fix = "whoever runs it has to serve its metadata in its own name (RFC 8414)";
                walk.fix("authorization server", State::Fail, why, Some(fix));
                return Ok(walk);
            }
        };
        walk.note(
            "authorization server",
            State::Ok,
            format!("`{issuer}` speaks in its own name"),
        );
        if let Err(why) = server.token_endpoint() {
            let fix = "whoever runs it has to set `token_endpoint`; nothing is given without it";
            walk.fix("token endpoint", State::Fail, why, Some(fix));
            return Ok(walk);
        }
        people(&mut walk, &server);
        offered(&mut walk, &server);
        if self.register {
            registered(&mut walk, &guarded, &server).await;
        }
        machines(&mut walk, &server);
        let found = Found {
            resource: Resource {
                takes_dpop: resource.takes_dpop || challenge.takes_dpop,
                ..resource
            },
            server,
        };
        let bound = if found.is_bound() {
            "tokens are bound to a key (DPoP), and are asked for so"
        } else {
            "tokens are not bound to a key"
        };
        walk.note("possession", State::Ok, bound);
        self.tokens(&mut walk, &guarded, &found, &challenge).await?;
        Ok(walk)
    }

    fn guarded(&self) -> Result<Guarded, Failure> {
        let uri = self.url.parse::<hyper::Uri>().ok();
        let uri = uri.filter(|uri| matches!(uri.scheme_str(), Some("https" | "http")));
        let uri =
            uri.ok_or_else(|| Failure::configuration("the URL is none; write it as https://host/path"))?;
        let is_here = matches!(uri.host(), Some("127.0.0.1" | "localhost" | "[::1]"));
        let network = if self.private || is_here {
            Network::Private
        } else {
            Network::Public
        };
        let authorities = self.ca.as_deref().map(tls::authorities).transpose();
        let authorities = authorities.map_err(Failure::configuration)?.unwrap_or_default();
        Guarded::new(network, &authorities).map_err(Failure::configuration)
    }

    /// The first words of a client, with or without a token.
    async fn knock(&self, guarded: &Guarded, proof: &[(HeaderName, HeaderValue)]) -> Result<Fetched, String> {
        let body = wire::jsonrpc::request(
            &wire::jsonrpc::Id::Integer(1),
            wire::mcp::Method::Initialize,
            |params| {
                params.string("protocolVersion", wire::mcp::Revision::LATEST_LEGACY.as_str());
                params.object("capabilities", |_| {});
                params.object("clientInfo", |info| {
                    info.string("name", "sallyport-doctor");
                    info.string("version", env!("CARGO_PKG_VERSION"));
                });
            },
        );
        let mut headers = vec![
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (
                ACCEPT,
                HeaderValue::from_static("application/json, text/event-stream"),
            ),
        ];
        headers.extend(proof.iter().cloned());
        let call = Call {
            method: Method::POST,
            url: &self.url,
            headers,
            body,
        };
        guarded.send(call).await
    }

    async fn resource(&self, walk: &mut Walk, guarded: &Guarded, challenge: &Challenge) -> Option<Resource> {
        match discovery::resource(guarded, &self.url, challenge).await {
            Ok(Some(resource)) => {
                let what = format!("it is for `{}`, by {}", resource.id, resource.issuers.join(", "));
                walk.note("resource metadata", State::Ok, what);
                Some(resource)
            }
            Ok(None) if self.issuer.is_some() => {
                let what = "there is none; the authorization server is the one you named";
                walk.auth
                    .extend(self.issuer.as_ref().map(|issuer| format!("issuer: \"{issuer}\"")));
                walk.note("resource metadata", State::Warn, what);
                Some(Resource {
                    id: self.url.clone(),
                    issuers: Vec::new(),
                    scopes: Vec::new(),
                    takes_dpop: false,
                })
            }
            Ok(None) => {
                let fix = "mcpServers.NAME.auth: { issuer: \"URL\" }, and try again with --issuer URL";
                let what = "there is none (RFC 9728), so nothing says who gives tokens for it";
                walk.fix("resource metadata", State::Fail, what, Some(fix));
                None
            }
            Err(why) => {
                let fix =
                    "whoever runs the server has to correct its metadata, or its URL is another in `url`";
                walk.fix("resource metadata", State::Fail, why, Some(fix));
                None
            }
        }
    }

    fn client(&self) -> Result<Option<ClientIdentity>, Failure> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let Some(id) = self.client_id.clone().or_else(|| variable("SALLYPORT_CLIENT_ID")) else {
            return Ok(None);
        };
        let proof = match (&self.key, variable("SALLYPORT_CLIENT_SECRET")) {
            (Some(path), _) => {
                let text = std::fs::read_to_string(path);
                let bad = |why: String| Failure::configuration(format!("{}: {why}", path.display()));
                let text = text.map_err(|error| bad(error.to_string()))?;
                let key = ClientKey::from_pem(&text).map_err(|error| bad(error.to_string()))?;
                ClientProof::Key {
                    key: Arc::new(key),
                    id: None,
                }
            }
            (None, Some(secret)) => ClientProof::Secret(Secret::presented(secret)),
            (None, None) => ClientProof::None,
        };
        Ok(Some(ClientIdentity { id, proof }))
    }

    async fn tokens(
        &self,
        walk: &mut Walk,
        guarded: &Guarded,
        found: &Found,
        challenge: &Challenge,
    ) -> Result<(), Failure> {
        let Some(client) = self.client()? else {
            let what = "not asked for; give --client-id, and SALLYPORT_CLIENT_SECRET or --key";
            walk.note("token", State::Skip, what);
            return Ok(());
        };
        let (ambient, nonces) = (Ambient::system(), Nonces::default());
        let unable = |error: identity::assertion::ClientKeyError| Failure::other(error.to_string());
        let key = found
            .is_bound()
            .then(ClientKey::generate)
            .transpose()
            .map_err(unable)?;
        let endpoint = TokenEndpoint {
            guarded,
            server: &found.server,
            client: &client,
            key: key.as_ref(),
            nonces: &nonces,
            ambient: &ambient,
        };
        let scope = self.scopes(found, challenge);
        let refresh = std::env::var("SALLYPORT_REFRESH_TOKEN")
            .ok()
            .filter(|_| self.refresh);
        let given = match &refresh {
            None => {
                let form = vec![("grant_type", "client_credentials")];
                token(walk, "token", &endpoint, form, found, &scope).await
            }
            Some(refresh) => {
                let form = vec![
                    ("grant_type", "refresh_token"),
                    ("refresh_token", refresh.as_str()),
                ];
                let given = token(walk, "refresh", &endpoint, form, found, "").await;
                if given.as_ref().is_some_and(|given| given.refresh.is_none()) {
                    let what = "the refresh token was not replaced by another; one that is stolen stays good";
                    walk.note("rotation", State::Warn, what);
                }
                given
            }
        };
        let Some(given) = given else { return Ok(()) };
        if refresh.is_none() {
            let shown = match &client.proof {
                ClientProof::Key { .. } => "key: \"file:PATH\"",
                ClientProof::None | ClientProof::Secret(_) => "client_secret: \"env:NAME\"",
            };
            walk.auth.retain(|part| !part.starts_with("kind:"));
            let kind = format!("kind: client_credentials, client_id: \"{}\", {shown}", client.id);
            walk.auth.insert(0, kind);
        }
        let proof = self.proof(&given, key.as_ref(), &nonces, &ambient)?;
        self.used(walk, guarded, &proof).await
    }

    /// Whether the server takes the token.
    async fn used(
        &self,
        walk: &mut Walk,
        guarded: &Guarded,
        proof: &[(HeaderName, HeaderValue)],
    ) -> Result<(), Failure> {
        let answer = self.knock(guarded, proof).await.map_err(Failure::unreachable)?;
        let said = Challenge::of(&answer.headers);
        match answer.status {
            status if status.is_success() => walk.note("use", State::Ok, "the server takes the token"),
            StatusCode::FORBIDDEN => {
                let wanted = said.scopes().collect::<Vec<_>>().join(" ");
                let fix = format!("mcpServers.NAME.auth: {{ scope: \"{wanted}\" }}");
                walk.fix(
                    "use",
                    State::Fail,
                    "the token has not the scope the server wants",
                    Some(&fix),
                );
            }
            status => {
                let what = format!("the server answered {status} to the token it was given for");
                let fix = "compare the token's `aud` and `iss` with what the server checks; `scope` may name the audience";
                walk.fix("use", State::Fail, what, Some(fix));
            }
        }
        Ok(())
    }

    fn scopes(&self, found: &Found, challenge: &Challenge) -> String {
        match (&self.scope, &challenge.scope) {
            (Some(scope), _) | (None, Some(scope)) => scope.clone(),
            (None, None) => found.resource.scopes.join(" "),
        }
    }

    fn proof(
        &self,
        given: &Given,
        key: Option<&ClientKey>,
        nonces: &Nonces,
        ambient: &Ambient,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
        let unsendable = |_| Failure::unreachable("the token cannot be put into a header");
        let scheme = if given.is_bound { "DPoP" } else { "Bearer" };
        let value = HeaderValue::try_from(format!("{scheme} {}", given.access.expose()));
        let mut headers = vec![(AUTHORIZATION, value.map_err(unsendable)?)];
        if let Some(key) = key.filter(|_| given.is_bound) {
            let proof = key.proof(&Proving {
                method: "POST",
                url: &self.url,
                token: Some(&given.access),
                nonce: nonces.of(&self.url).as_deref(),
                id: &ambient.name(),
                now_ms: ambient.now_ms(),
            });
            let proof = proof.map_err(|error| Failure::other(error.to_string()))?;
            headers.push((DPOP, HeaderValue::try_from(proof).map_err(unsendable)?));
        }
        Ok(headers)
    }

    fn tell(&self, walk: &Walk, common: &Common) {
        let line = format!(
            "mcpServers.NAME: {{ url: \"{}\", auth: {{ {} }} }}",
            self.url,
            walk.auth.join(", ")
        );
        let is_whole = !walk.has_failed() && !walk.auth.is_empty();
        if common.json {
            let text = object(|out| {
                out.string("url", &self.url);
                out.boolean("holds", !walk.has_failed());
                out.array("steps", |list| {
                    for step in &walk.steps {
                        list.object(|out| {
                            out.string("step", step.name);
                            out.string("state", step.state.as_str());
                            out.string("what", &step.what);
                            if let Some(fix) = &step.fix {
                                out.string("fix", fix);
                            }
                        });
                    }
                });
                if is_whole {
                    out.string("configuration", &line);
                }
            });
            return say(&String::from_utf8_lossy(&text));
        }
        for step in &walk.steps {
            say(&format!(
                "{:<4}  {:<21} {}",
                step.state.as_str(),
                step.name,
                step.what
            ));
            if let Some(fix) = &step.fix {
                say(&format!("      {:<21} {fix}", "what mends it:"));
            }
        }
        if is_whole {
            say(&format!("\nIn sallyport.yaml:\n{line}"));
        }
    }
}
