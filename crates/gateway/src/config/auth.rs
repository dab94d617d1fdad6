//! How the gateway proves itself to a server, as meant.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use identity::{Secret, assertion::ClientKey};
use rustls::pki_types::CertificateDer;
use serde::Deserialize;
use wire::json::ObjectWriter;

use super::{Problem, reference::Lookup};
use crate::{known::issuers::Network, tls};

/// What is said under `auth`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Meant {
    /// A fixed token.
    Bearer(String),
    /// Tokens of an authorization server.
    Oauth(Arc<MeantAuth>),
}

/// How tokens are got.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MeantAuth {
    pub(crate) kind: AuthKind,
    /// The authorization server, where configuration names it.
    pub(crate) issuer: Option<String>,
    pub(crate) scopes: BTreeSet<String>,
    pub(crate) indicator: Indicator,
    pub(crate) pkce: Pkce,
    pub(crate) network: Network,
    pub(crate) authorities: Vec<CertificateDer<'static>>,
}

/// Which grant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AuthKind {
    /// The gateway's own, the same for all callers.
    ClientCredentials(ClientIdentity),
    /// The gateway's own, for the platform's word for this process (RFC 7523).
    Workload {
        client: Option<ClientIdentity>,
        assertion: PathBuf,
    },
    /// Because an identity provider says so (ID-JAG): a token of its own is exchanged there for a word to the server's
    /// authorization server.
    Enterprise {
        client: ClientIdentity,
        provider: Provider,
        whose: Whose,
    },
    /// One for each caller, in exchange for a token of the gateway's own issuer (RFC 8693).
    TokenExchange {
        client: ClientIdentity,
        audience: Option<String>,
    },
    /// One for each caller, in exchange for the token of an external issuer that the caller came with.
    CallersToken {
        client: ClientIdentity,
        audience: Option<String>,
        manner: Manner,
    },
    /// One for each person, who agreed to it.
    AuthorizationCode(Registration),
}

/// Whose identity at a provider it is that lets somebody use a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Whose {
    /// The gateway's, by the ID token in that file: one for all callers.
    Gateway(PathBuf),
    /// Each caller's own: the token it came with, or the ID token of its log-in there.
    Callers,
}

/// How a caller's token is exchanged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Manner {
    /// RFC 8693; with the gateway's word for who acts, or without.
    Exchange(ActorToken),
    /// Entra ID's on-behalf-of flow (RFC 7523 with `requested_token_use`).
    OnBehalfOf,
}

/// Whether an `actor_token` says which agent acts for the user.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ActorToken {
    Send,
    Omit,
}

/// An identity provider, and who the gateway is there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Provider {
    pub(crate) issuer: String,
    pub(crate) client: ClientIdentity,
}

/// Who the gateway is at an authorization server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClientIdentity {
    pub(crate) id: String,
    pub(crate) proof: ClientProof,
}

/// What proves that.
#[derive(Clone, Debug)]
pub(crate) enum ClientProof {
    /// Nothing: a public client.
    None,
    Secret(Secret),
    Key {
        key: Arc<ClientKey>,
        id: Option<String>,
    },
}

impl PartialEq for ClientProof {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Secret(one), Self::Secret(two)) => one.expose() == two.expose(),
            (Self::Key { key, id }, Self::Key { key: other, id: name }) => key == other && id == name,
            (Self::None | Self::Secret(_) | Self::Key { .. }, _) => false,
        }
    }
}

/// How the gateway comes to a name at an authorization server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Registration {
    /// It was given one.
    Known(ClientIdentity),
    /// By a document about it at this URL.
    Document(String),
    /// By a document about it that it serves itself.
    Own,
    /// It asks for one.
    Dynamic,
}

/// Whether requests for tokens name the server (RFC 8707).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Indicator {
    /// They do.
    #[default]
    Send,
    /// Not here: the authorization server does not know the parameter.
    Omit,
}

/// Whether an authorization server has to say that it checks PKCE before a person is sent there.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Pkce {
    /// It has to.
    #[default]
    Announced,
    /// The operator knows that it does, and it says nothing of it.
    Assumed,
}

/// How the gateway proves itself to a server.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidAuth {
    /// `bearer`, `client_credentials`, `workload`, `id_jag`, `token_exchange`, `on_behalf_of` or `authorization_code`.
    pub(crate) kind: String,
    /// The token of `bearer`, by reference: `env:NAME` or `file:PATH`.
    pub(crate) token: Option<String>,
    /// With `workload`, the file (`file:PATH`) with the platform's JWT for this process; with `id_jag`, with an
    /// ID token of the gateway's.
    pub(crate) assertion: Option<String>,
    /// The authorization server; the one the server names unless said. Another is refused.
    pub(crate) issuer: Option<String>,
    /// The gateway's name at the authorization server.
    pub(crate) client_id: Option<String>,
    /// Its secret there, by reference.
    pub(crate) client_secret: Option<String>,
    /// Its private key in PEM instead, by reference: assertions are signed with it (`private_key_jwt`).
    pub(crate) key: Option<String>,
    /// The name of that key at the authorization server.
    pub(crate) key_id: Option<String>,
    /// With `authorization_code`: the URL of a document that describes the gateway, which then is its name.
    pub(crate) client_id_metadata: Option<String>,
    /// With `authorization_code`: `dynamic`, to register the gateway by itself (RFC 7591).
    pub(crate) registration: Option<String>,
    /// With `id_jag`: the identity provider, and who the gateway is there.
    pub(crate) provider: Option<SaidAuthProvider>,
    /// Scopes to ask for; what the server asks for unless said.
    pub(crate) scope: Option<String>,
    /// With `token_exchange`: what is put in `audience`, too.
    pub(crate) audience: Option<String>,
    /// With `token_exchange`: `caller`, whose own token is exchanged, or `gateway` (the default), whose word for it is. With
    /// `id_jag`: `caller` (the default), or `gateway`, with an `assertion`.
    pub(crate) subject: Option<String>,
    /// With `subject: caller`: `send` or `omit` (the default) the gateway's word for the agent that acts.
    pub(crate) actor_token: Option<String>,
    /// With `authorization_code`: `announced` (the default) or `assumed`, where the authorization server checks PKCE and does
    /// not say so, as Entra ID.
    pub(crate) pkce: Option<String>,
    /// `send` (the default) or `omit`: whether tokens are asked for in the server's name (RFC 8707).
    pub(crate) resource: Option<String>,
    /// `public` (the default) or `private`: whether the authorization server may be in one's own network.
    pub(crate) network: Option<String>,
    /// A PEM file of the authorities believed for the authorization server instead of the public ones.
    pub(crate) ca: Option<String>,
}

/// An identity provider that says who may use which server.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidAuthProvider {
    /// Its issuer identifier.
    pub(crate) issuer: String,
    /// The gateway's name there: what the ID token is for.
    pub(crate) client_id: String,
    /// Its secret there, by reference.
    pub(crate) client_secret: Option<String>,
}

/// Finds out what was meant.
pub(super) fn mean(
    at: &str,
    said: &SaidAuth,
    server: &hyper::Uri,
    lookup: &Lookup<'_>,
) -> Result<Meant, Problem> {
    let at = format!("{at}.auth");
    let bad = |key: &str, what: &str, remedy: &str| Problem::new(format!("{at}.{key}"), what, remedy);
    if said.kind == "bearer" {
        let token = said.token.as_deref().ok_or_else(|| {
            bad(
                "token",
                "there is none",
                "write `token: \"env:NAME\"`, and put the token there",
            )
        })?;
        return Ok(Meant::Bearer(lookup.secret(&format!("{at}.token"), token)?));
    }
    if said.token.is_some() {
        return Err(bad(
            "token",
            "it is of no use with this `kind`",
            "write `kind: bearer`",
        ));
    }
    let is_exchange = matches!(said.kind.as_str(), "token_exchange" | "on_behalf_of");
    if !is_exchange && (said.subject.is_some() && said.kind != "id_jag" || said.actor_token.is_some()) {
        return Err(bad(
            "subject",
            "it is of no use with this `kind`",
            "write `kind: token_exchange`",
        ));
    }
    if said.provider.is_some() && said.kind != "id_jag" {
        return Err(bad(
            "provider",
            "it is of no use with this `kind`",
            "write `kind: id_jag`",
        ));
    }
    let identity = SaidIdentity {
        id: said.client_id.as_deref(),
        secret: said.client_secret.as_deref(),
        key: said.key.as_deref(),
        key_id: said.key_id.as_deref(),
    };
    let client = client(&at, identity, lookup)?;
    let needed = || {
        bad(
            "client_id",
            "there is none",
            "write the gateway's name at the authorization server",
        )
    };
    let kind = match said.kind.as_str() {
        "client_credentials" => AuthKind::ClientCredentials(proven(&at, client.ok_or_else(needed)?)?),
        "workload" => AuthKind::Workload {
            client,
            assertion: assertion(&at, said, lookup)?,
        },
        "id_jag" => AuthKind::Enterprise {
            client: proven(&at, client.ok_or_else(needed)?)?,
            provider: provider(&at, said, lookup)?,
            whose: whose(&at, said, lookup)?,
        },
        "token_exchange" | "on_behalf_of" => exchange(&at, said, proven(&at, client.ok_or_else(needed)?)?)?,
        "authorization_code" => AuthKind::AuthorizationCode(registration(&at, said, client)?),
        other => {
            let remedy = "use one of: bearer, client_credentials, workload, id_jag, token_exchange, on_behalf_of, \
                          authorization_code";
            return Err(bad("kind", &format!("`{other}` is not known here"), remedy));
        }
    };
    let scopes = said.scope.as_deref().unwrap_or_default().split_ascii_whitespace();
    let network = match said.network.as_deref() {
        Some("private") => Network::Private,
        None | Some("public") if is_here(server) => Network::Private,
        None | Some("public") => Network::Public,
        Some(_) => {
            return Err(bad(
                "network",
                "that is not known here",
                "use one of: public, private",
            ));
        }
    };
    let indicator = match said.resource.as_deref() {
        None | Some("send") => Indicator::Send,
        Some("omit") => Indicator::Omit,
        Some(_) => {
            return Err(bad(
                "resource",
                "that is not known here",
                "use one of: send, omit",
            ));
        }
    };
    let pkce = match (said.pkce.as_deref(), said.kind.as_str()) {
        (None, _) | (Some("announced"), "authorization_code") => Pkce::Announced,
        (Some("assumed"), "authorization_code") => Pkce::Assumed,
        (Some(_), _) => {
            let remedy = "use one of: announced, assumed; with `kind: authorization_code`";
            return Err(bad("pkce", "that is not known here, or not with this", remedy));
        }
    };
    let authorities = match &said.ca {
        None => Vec::new(),
        Some(path) => tls::authorities(&lookup.path(path))
            .map_err(|what| bad("ca", &what, "correct the path, or the file"))?,
    };
    let meant = MeantAuth {
        kind,
        issuer: said.issuer.clone(),
        scopes: scopes.map(str::to_owned).collect(),
        indicator,
        pkce,
        network,
        authorities,
    };
    let has_audience = said.audience.is_some() && said.kind != "on_behalf_of";
    if meant.is_tied_by_scope() && meant.scopes.is_empty() && !has_audience {
        return Err(bad(
            "scope",
            "nothing else says for which server the caller's token is exchanged",
            "write the server's scope, as `api://NAME/.default`",
        ));
    }
    Ok(Meant::Oauth(Arc::new(meant)))
}

/// Whose token is exchanged, and how.
fn exchange(at: &str, said: &SaidAuth, client: ClientIdentity) -> Result<AuthKind, Problem> {
    let bad = |key: &str, remedy: &str| {
        Problem::new(
            format!("{at}.{key}"),
            "that is not known here, or not with this",
            remedy,
        )
    };
    let audience = said.audience.clone();
    let actor = match said.actor_token.as_deref() {
        None | Some("omit") => ActorToken::Omit,
        Some("send") => ActorToken::Send,
        Some(_) => return Err(bad("actor_token", "use one of: send, omit")),
    };
    let manner = match (said.kind.as_str(), said.subject.as_deref(), actor) {
        ("on_behalf_of", None, ActorToken::Omit) => Manner::OnBehalfOf,
        ("on_behalf_of", None, ActorToken::Send) => {
            return Err(bad(
                "actor_token",
                "leave it out, or write `kind: token_exchange`",
            ));
        }
        ("on_behalf_of", Some(_), _) => return Err(bad("subject", "leave it out: it is the caller's token")),
        (_, Some("caller"), actor) => Manner::Exchange(actor),
        (_, None | Some("gateway"), ActorToken::Omit) => {
            return Ok(AuthKind::TokenExchange { client, audience });
        }
        (_, None | Some("gateway"), ActorToken::Send) => {
            return Err(bad(
                "actor_token",
                "the gateway's word names the agent already; leave it out",
            ));
        }
        (_, Some(_), _) => return Err(bad("subject", "use one of: gateway, caller")),
    };
    Ok(AuthKind::CallersToken {
        client,
        audience,
        manner,
    })
}

/// The file with somebody else's word, read anew each time.
fn assertion(at: &str, said: &SaidAuth, lookup: &Lookup<'_>) -> Result<PathBuf, Problem> {
    let file = said
        .assertion
        .as_deref()
        .and_then(|said| said.strip_prefix("file:"));
    file.map(|path| lookup.path(path)).ok_or_else(|| {
        Problem::new(
            format!("{at}.assertion"),
            "there is no file",
            "write it as `file:PATH`",
        )
    })
}

/// Whose word an identity provider gives: each caller's own, unless there is a token for the gateway.
fn whose(at: &str, said: &SaidAuth, lookup: &Lookup<'_>) -> Result<Whose, Problem> {
    let bad = |key: &str, what: &str, remedy: &str| Problem::new(format!("{at}.{key}"), what, remedy);
    match (said.subject.as_deref(), &said.assertion) {
        (None | Some("caller"), None) => Ok(Whose::Callers),
        (None | Some("gateway"), _) => Ok(Whose::Gateway(assertion(at, said, lookup)?)),
        (Some("caller"), Some(_)) => Err(bad(
            "assertion",
            "it is of no use where each caller has its own",
            "leave it out, or write `subject: gateway`",
        )),
        (Some(_), _) => Err(bad(
            "subject",
            "that is not known here",
            "use one of: gateway, caller",
        )),
    }
}

fn provider(at: &str, said: &SaidAuth, lookup: &Lookup<'_>) -> Result<Provider, Problem> {
    let at = format!("{at}.provider");
    let remedy = "write `provider: { issuer: URL, client_id: ID, client_secret: \"env:NAME\" }`";
    let said = said
        .provider
        .as_ref()
        .ok_or_else(|| Problem::new(&at, "there is none", remedy))?;
    let secret = said
        .client_secret
        .as_ref()
        .map(|secret| lookup.secret(&format!("{at}.client_secret"), secret));
    Ok(Provider {
        issuer: said.issuer.clone(),
        client: ClientIdentity {
            id: said.client_id.clone(),
            proof: secret.transpose()?.map_or(ClientProof::None, |secret| {
                ClientProof::Secret(Secret::presented(secret))
            }),
        },
    })
}

/// Who the gateway is somewhere, as said.
#[derive(Clone, Copy, Debug)]
pub(super) struct SaidIdentity<'s> {
    pub(super) id: Option<&'s str>,
    pub(super) secret: Option<&'s str>,
    pub(super) key: Option<&'s str>,
    pub(super) key_id: Option<&'s str>,
}

pub(super) fn client(
    at: &str,
    said: SaidIdentity<'_>,
    lookup: &Lookup<'_>,
) -> Result<Option<ClientIdentity>, Problem> {
    let proof = match (said.secret, said.key) {
        (None, None) => ClientProof::None,
        (Some(secret), None) => {
            let secret = lookup.secret(&format!("{at}.client_secret"), secret)?;
            ClientProof::Secret(Secret::presented(secret))
        }
        (None, Some(key)) => {
            let at = format!("{at}.key");
            let key = ClientKey::from_pem(&lookup.secret(&at, key)?);
            let remedy = "make one with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`";
            ClientProof::Key {
                key: Arc::new(key.map_err(|why| Problem::new(at, why.to_string(), remedy))?),
                id: said.key_id.map(str::to_owned),
            }
        }
        (Some(_), Some(_)) => {
            let what = "a secret and a key both prove the client";
            return Err(Problem::new(format!("{at}.key"), what, "keep one of them"));
        }
    };
    let id = said.id.map(str::to_owned);
    Ok(id.map(|id| ClientIdentity { id, proof }))
}

/// Without a person, the gateway has to prove itself.
fn proven(at: &str, client: ClientIdentity) -> Result<ClientIdentity, Problem> {
    match client.proof {
        ClientProof::None => Err(Problem::new(
            at,
            "nothing proves the client",
            "add `client_secret: \"env:NAME\"` or `key: \"file:PATH\"`",
        )),
        ClientProof::Secret(_) | ClientProof::Key { .. } => Ok(client),
    }
}

fn registration(at: &str, said: &SaidAuth, client: Option<ClientIdentity>) -> Result<Registration, Problem> {
    match (client, &said.client_id_metadata, said.registration.as_deref()) {
        (Some(client), None, None) => Ok(Registration::Known(client)),
        (None, Some(url), None) if url.starts_with("https://") => Ok(Registration::Document(url.clone())),
        (None, Some(_), None) => Err(Problem::new(
            format!("{at}.client_id_metadata"),
            "it is no https URL",
            "write the URL of a document that the authorization server can read",
        )),
        (None, None, None) => Ok(Registration::Own),
        (None, None, Some("dynamic")) => Ok(Registration::Dynamic),
        (_, _, _) => Err(Problem::new(
            at,
            "the gateway can have one name at the authorization server",
            "keep one of `client_id`, `client_id_metadata` and `registration: dynamic`",
        )),
    }
}

/// Whether a server is on this machine: then its authorization server may be, too.
fn is_here(server: &hyper::Uri) -> bool {
    matches!(server.host(), Some("127.0.0.1" | "localhost" | "[::1]"))
}

impl Manner {
    /// What is approved with a server: whoever is shown callers' tokens is another than who is not.
    fn as_str(self) -> &'static str {
        match self {
            Self::Exchange(ActorToken::Omit) => "token_exchange of callers' tokens",
            Self::Exchange(ActorToken::Send) => "token_exchange of callers' tokens with actors",
            Self::OnBehalfOf => "on_behalf_of",
        }
    }
}

impl MeantAuth {
    /// Whether each caller has a token of their own.
    pub(super) fn is_of_callers(&self) -> bool {
        match self.kind {
            AuthKind::ClientCredentials(_)
            | AuthKind::Enterprise {
                whose: Whose::Gateway(_),
                ..
            }
            | AuthKind::Workload { .. } => false,
            AuthKind::AuthorizationCode(_)
            | AuthKind::CallersToken { .. }
            | AuthKind::Enterprise {
                whose: Whose::Callers,
                ..
            }
            | AuthKind::TokenExchange { .. } => true,
        }
    }

    /// Whether scopes alone say for which server a caller's token is exchanged. The server then has no say in them, or it
    /// would be given one for another.
    pub(crate) fn is_tied_by_scope(&self) -> bool {
        match &self.kind {
            AuthKind::CallersToken { manner, .. } => {
                *manner == Manner::OnBehalfOf || self.indicator == Indicator::Omit
            }
            AuthKind::AuthorizationCode(_)
            | AuthKind::ClientCredentials(_)
            | AuthKind::Enterprise { .. }
            | AuthKind::TokenExchange { .. }
            | AuthKind::Workload { .. } => false,
        }
    }

    /// Who gives tokens for a server, and to whom, is approved with it.
    pub(super) fn pin(&self, out: &mut ObjectWriter<'_>) {
        let (kind, client) = match &self.kind {
            AuthKind::ClientCredentials(client) => ("client_credentials", Some(client)),
            AuthKind::TokenExchange { client, .. } => ("token_exchange", Some(client)),
            AuthKind::CallersToken { client, manner, .. } => (manner.as_str(), Some(client)),
            AuthKind::Enterprise {
                client,
                whose: Whose::Gateway(_),
                ..
            } => ("id_jag", Some(client)),
            AuthKind::Enterprise {
                client,
                whose: Whose::Callers,
                ..
            } => ("id_jag of callers", Some(client)),
            AuthKind::Workload { client, .. } => ("workload", client.as_ref()),
            AuthKind::AuthorizationCode(Registration::Known(client)) => ("authorization_code", Some(client)),
            AuthKind::AuthorizationCode(
                Registration::Document(_) | Registration::Dynamic | Registration::Own,
            ) => ("authorization_code", None),
        };
        out.string("kind", kind);
        if let Some(client) = client {
            out.string("client_id", &client.id);
        }
        if let Some(issuer) = &self.issuer {
            out.string("issuer", issuer);
        }
        if let AuthKind::Enterprise { provider, .. } = &self.kind {
            out.string("provider", &provider.issuer);
        }
    }
}
