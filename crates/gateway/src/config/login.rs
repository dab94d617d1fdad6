//! How people log in at an external identity provider before they let a program in here, as said and as meant.

use identity::token::ACR_MFA;
use serde::Deserialize;

use super::{
    Problem,
    auth::{ClientIdentity, SaidIdentity, client},
    reference::Lookup,
};

/// How long a log-in there counts, unless said: a working day.
const LASTS_S: u64 = 12 * 3600;
const LASTS_S_MAX: u64 = 30 * 24 * 3600;

/// What is said under `issuers[].login`.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidLogin {
    /// The gateway's name at the provider. It is registered there with the redirect URI `URL/oauth/login/NAME/callback`.
    pub(crate) client_id: Option<String>,
    /// Its secret there, by reference: `env:NAME` or `file:PATH`.
    pub(crate) client_secret: Option<String>,
    /// Its private key in PEM instead, by reference (`private_key_jwt`).
    pub(crate) key: Option<String>,
    /// The name of that key at the provider.
    pub(crate) key_id: Option<String>,
    /// What people read on the button; the issuer's `name` unless said.
    pub(crate) label: Option<String>,
    /// Scopes to ask for; `openid` unless said, and always with it.
    pub(crate) scope: Option<String>,
    /// Values of the provider's `acr` that stand for more than a password. An `amr` with `mfa` does so by itself.
    #[serde(default)]
    pub(crate) mfa: Vec<String>,
    /// Seconds until a person has to log in there again; 43200 unless said, 2592000 at most.
    pub(crate) lasts: Option<u64>,
}

/// How people log in there.
#[derive(Clone, Debug)]
pub(crate) struct MeantLoginAt {
    /// In addresses.
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) client: ClientIdentity,
    pub(crate) scope: String,
    /// Its `acr` values that stand for more than a password.
    pub(crate) mfa: Vec<String>,
    pub(crate) lasts_ms: i64,
}

/// Finds out what was meant.
pub(super) fn mean(
    at: &str,
    name: &str,
    said: &SaidLogin,
    lookup: &Lookup<'_>,
) -> Result<MeantLoginAt, Problem> {
    let bad = |key: &str, what: &str, remedy: &str| Problem::new(format!("{at}.{key}"), what, remedy);
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(fits) {
        let remedy = "write the issuer's `name` with letters, digits, `-` and `_`";
        return Err(bad("name", "it is in the address people come back to", remedy));
    }
    let identity = SaidIdentity {
        id: said.client_id.as_deref(),
        secret: said.client_secret.as_deref(),
        key: said.key.as_deref(),
        key_id: said.key_id.as_deref(),
    };
    let client = client(at, identity, lookup)?.ok_or_else(|| {
        let remedy = "write the gateway's name at the provider";
        bad("client_id", "there is none", remedy)
    })?;
    let asked = said.scope.as_deref().unwrap_or_default();
    let mut scopes: Vec<&str> = asked.split_ascii_whitespace().collect();
    if !scopes.contains(&"openid") {
        scopes.insert(0, "openid");
    }
    let lasts_s = said.lasts.unwrap_or(LASTS_S).clamp(60, LASTS_S_MAX);
    Ok(MeantLoginAt {
        name: name.to_owned(),
        label: said.label.clone().unwrap_or_else(|| name.to_owned()),
        client,
        scope: scopes.join(" "),
        mfa: said.mfa.clone(),
        lasts_ms: i64::try_from(lasts_s).unwrap_or(0).saturating_mul(1000),
    })
}

impl MeantLoginAt {
    /// Whether this level of the provider stands for more than a password.
    pub(crate) fn is_mfa(&self, acr: Option<&str>) -> bool {
        acr.is_some_and(|acr| acr == ACR_MFA || self.mfa.iter().any(|known| known == acr))
    }
}
