//! The token endpoint of somebody else's authorization server, from the client's end (RFC 6749, RFC 7523, RFC 8707,
//! RFC 9449).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::{
    Method, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use identity::{
    Secret,
    assertion::{Assertion, ClientKey, Proving},
};
use wire::json::{Document, Node};

use super::{
    discovery::{Metadata, origin, parsed, shown, text},
    escaped, form,
};
use crate::{
    ambient::Ambient,
    config::auth::{ClientIdentity, ClientProof},
    known::issuers::{Call, Guarded},
};

pub(crate) const DPOP: HeaderName = HeaderName::from_static("dpop");
pub(crate) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
/// The longest token taken, in bytes: it has to fit into a header.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// How long a token counts as good whose authorization server does not say, in milliseconds.
const UNSAID_MS: i64 = 5 * 60 * 1000;
/// Most origins whose nonces are kept.
const NONCES_MAX: usize = 64;

/// What an authorization server gave.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) access: Secret,
    pub(crate) is_bound: bool,
    pub(crate) expires_ms: i64,
    pub(crate) refresh: Option<Secret>,
    /// Who logged in, in a token for the client (OpenID Connect).
    pub(crate) id_token: Option<Secret>,
    /// The scopes, where it says them.
    pub(crate) scopes: Option<BTreeSet<String>>,
}

/// Why there is no token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum NoToken {
    /// The authorization server said no.
    Refused { error: String, why: String },
    /// It could not be asked, or its answer is none.
    Failed(String),
}

impl NoToken {
    /// Whether what was shown is of no use any more.
    pub(crate) fn is_spent(&self) -> bool {
        matches!(self, Self::Refused { error, .. } if error == "invalid_grant")
    }
}

impl std::fmt::Display for NoToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused { error, why } if why.is_empty() => write!(f, "it gives no token: {error}"),
            Self::Refused { error, why } => write!(f, "it gives no token: {error} ({why})"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

/// The nonces that servers want to find in proofs, by origin (RFC 9449 section 8).
#[derive(Debug, Default)]
pub(crate) struct Nonces(Mutex<BTreeMap<String, String>>);

impl Nonces {
    pub(crate) fn of(&self, url: &str) -> Option<String> {
        let nonces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        nonces.get(&origin(url)).cloned()
    }

    /// Notes the nonce of an answer. Whether it is another than before.
    pub(crate) fn note(&self, url: &str, headers: &HeaderMap) -> Option<String> {
        let nonce = headers.get(DPOP_NONCE)?.to_str().ok()?.to_owned();
        let mut nonces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let origin = origin(url);
        if nonces.len() >= NONCES_MAX && !nonces.contains_key(&origin) {
            nonces.clear();
        }
        let before = nonces.insert(origin, nonce.clone());
        (before.as_ref() != Some(&nonce)).then_some(nonce)
    }
}

/// What was answered with 200.
pub(crate) struct Answered(pub(crate) Document);

/// One authorization server, and who the client is there.
pub(crate) struct TokenEndpoint<'t> {
    pub(crate) guarded: &'t Guarded,
    pub(crate) server: &'t Metadata,
    pub(crate) client: &'t ClientIdentity,
    /// The key tokens are to be bound to.
    pub(crate) key: Option<&'t ClientKey>,
    pub(crate) nonces: &'t Nonces,
    pub(crate) ambient: &'t Ambient,
}

impl TokenEndpoint<'_> {
    /// Asks for a token.
    pub(crate) async fn ask(&self, form: &[(&str, &str)]) -> Result<Given, NoToken> {
        let url = self.server.token_endpoint().map_err(NoToken::Failed)?;
        self.given(url, self.post(url, form).await?)
    }

    /// Asks for something else in exchange (RFC 8693, section 2.2.1: what is no access token is of the type `N_A`).
    pub(crate) async fn ask_for(&self, kind: &str, form: &[(&str, &str)]) -> Result<String, NoToken> {
        let url = self.server.token_endpoint().map_err(NoToken::Failed)?;
        let Answered(document) = self.post(url, form).await?;
        let said = |name| text(document.root(), name);
        let failed = |why: &str| NoToken::Failed(format!("{url}: {why}"));
        if said("issued_token_type").as_deref() != Some(kind) {
            return Err(failed("it gives something else than it was asked for"));
        }
        let given = said("access_token").filter(|token| is_token(token));
        given.ok_or_else(|| failed("its answer has no usable token"))
    }

    /// Posts a form as the client: to the token endpoint, or another of the same authorization server.
    pub(crate) async fn post(&self, url: &str, form: &[(&str, &str)]) -> Result<Answered, NoToken> {
        // Once more with the nonce that the first answer brings.
        for _ in 0..2 {
            let answer = self.guarded.send(self.call(url, form)?).await;
            let answer = answer.map_err(NoToken::Failed)?;
            let fresh = self.nonces.note(url, &answer.headers).is_some();
            let document = parsed(answer.body);
            let said = document
                .as_ref()
                .ok()
                .and_then(|document| text(document.root(), "error"));
            if said.as_deref() == Some("use_dpop_nonce") && fresh {
                continue;
            }
            let failed = |why: &str| NoToken::Failed(format!("{url}: {why}"));
            if answer.status == StatusCode::OK {
                return document.map(Answered).map_err(|why| failed(&why));
            }
            let why = document
                .ok()
                .and_then(|document| text(document.root(), "error_description"));
            return Err(match said {
                Some(error) => NoToken::Refused {
                    error: shown(&error),
                    why: shown(&why.unwrap_or_default()),
                },
                None => failed(&format!("it answered {}", answer.status)),
            });
        }
        Err(NoToken::Failed(
            "it asks for one nonce after the other".to_owned(),
        ))
    }

    fn given(&self, url: &str, Answered(document): Answered) -> Result<Given, NoToken> {
        let failed = |why: &str| NoToken::Failed(format!("{url}: {why}"));
        let root = document.root();
        let token = |name| text(root, name).filter(|token| is_token(token));
        let access = token("access_token").ok_or_else(|| failed("its answer has no usable token"))?;
        let kind = text(root, "token_type").unwrap_or_default();
        let is_bound = kind.eq_ignore_ascii_case("dpop");
        if !is_bound && !kind.eq_ignore_ascii_case("bearer") {
            return Err(failed(&format!(
                "`{}` is no type of tokens known here",
                shown(&kind)
            )));
        }
        if is_bound && self.key.is_none() {
            return Err(failed("its token is bound to a key, and none was shown"));
        }
        let seconds = root
            .get("expires_in")
            .and_then(Node::as_number)
            .and_then(|n| n.as_i64());
        let lifetime_ms = seconds.map_or(UNSAID_MS, |seconds| seconds.clamp(0, 24 * 3600) * 1000);
        let scopes = text(root, "scope");
        Ok(Given {
            access: Secret::presented(access),
            is_bound,
            expires_ms: self.ambient.now_ms() + lifetime_ms,
            refresh: token("refresh_token").map(Secret::presented),
            id_token: token("id_token").map(Secret::presented),
            scopes: scopes.map(|scopes| scopes.split_ascii_whitespace().map(str::to_owned).collect()),
        })
    }

    fn call<'c>(&self, url: &'c str, pairs: &[(&str, &str)]) -> Result<Call<'c>, NoToken> {
        let mut body: Vec<(&str, String)> = pairs
            .iter()
            .map(|(name, text)| (*name, (*text).to_owned()))
            .collect();
        let urlencoded = HeaderValue::from_static("application/x-www-form-urlencoded");
        let mut headers = vec![(CONTENT_TYPE, urlencoded)];
        self.authenticate(&mut body, &mut headers)?;
        if let Some(key) = self.key {
            let nonce = self.nonces.of(url);
            let proof = key.proof(&Proving {
                method: "POST",
                url,
                token: None,
                nonce: nonce.as_deref(),
                id: &self.ambient.name(),
                now_ms: self.ambient.now_ms(),
            });
            let proof = proof.map_err(|why| NoToken::Failed(why.to_string()))?;
            headers.push((DPOP, header(&proof)?));
        }
        Ok(Call {
            method: Method::POST,
            url,
            headers,
            body: form(&body).into_bytes(),
        })
    }

    /// Says who the client is, in the way the authorization server takes.
    fn authenticate(
        &self,
        body: &mut Vec<(&str, String)>,
        headers: &mut Vec<(HeaderName, HeaderValue)>,
    ) -> Result<(), NoToken> {
        let takes = |method: &str| match &self.server.methods {
            // RFC 8414 section 2: the default.
            None => method == "client_secret_basic",
            Some(methods) => methods.iter().any(|taken| taken == method),
        };
        let id = self.client.id.as_str();
        match &self.client.proof {
            ClientProof::None if id.is_empty() => {}
            ClientProof::None => {
                body.push(("client_id", id.to_owned()));
            }
            ClientProof::Secret(secret) if takes("client_secret_basic") => {
                let pair = format!("{}:{}", escaped(id), escaped(secret.expose()));
                headers.push((
                    AUTHORIZATION,
                    header(&format!("Basic {}", STANDARD.encode(pair)))?,
                ));
            }
            ClientProof::Secret(secret) if takes("client_secret_post") => {
                body.push(("client_id", id.to_owned()));
                body.push(("client_secret", secret.expose().to_owned()));
            }
            ClientProof::Key { key, id: key_id } if takes("private_key_jwt") => {
                let algorithms = &self.server.algorithms;
                let algorithm = algorithms.iter().copied().find(|algorithm| key.can(*algorithm));
                if !algorithms.is_empty() && algorithm.is_none() {
                    let why = format!("it takes no assertions signed with {}", key.algorithm().as_str());
                    return Err(NoToken::Failed(why));
                }
                let assertion = key.assertion(&Assertion {
                    client: id,
                    audience: &self.server.issuer,
                    id: &self.ambient.name(),
                    now_ms: self.ambient.now_ms(),
                    key_id: key_id.as_deref(),
                    algorithm,
                });
                let assertion = assertion.map_err(|why| NoToken::Failed(why.to_string()))?;
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                body.push(("client_id", id.to_owned()));
                body.push(("client_assertion_type", kind.to_owned()));
                body.push(("client_assertion", assertion));
            }
            ClientProof::Secret(_) | ClientProof::Key { .. } => {
                let taken = self.server.methods.clone().unwrap_or_default().join(", ");
                return Err(NoToken::Failed(format!(
                    "it lets clients prove themselves by: {}; give `auth` what fits, `client_secret` or `key`",
                    if taken.is_empty() { "nothing" } else { &taken }
                )));
            }
        }
        Ok(())
    }
}

/// RFC 6750 section 2.1, and no more than fits.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.len() <= TOKEN_BYTES_MAX && text.bytes().all(|b| (0x21..0x7F).contains(&b))
}

fn header(text: &str) -> Result<HeaderValue, NoToken> {
    let mut value = HeaderValue::try_from(text)
        .map_err(|_| NoToken::Failed("a credential cannot be put into a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
