//! Agents and services, as said and as meant: who they are, and what they have to prove.

use std::{collections::BTreeMap, sync::Arc};

use identity::{
    Model, ModelSource,
    jose::{KeySet, PublicKey},
};
use policy::PartyKind;
use serde::Deserialize;
use wire::{
    bounds::CREDENTIAL,
    json::{Document, Keys},
};

use super::{
    Problem,
    meant::{MeantParty, attributes, strong},
    reference::Lookup,
};

/// An AI application or a program.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidAgent {
    /// The name, and its `client_id`.
    pub(crate) name: String,
    /// `agent` (the default) or `service`.
    pub(crate) kind: Option<SaidKind>,
    /// Its secret, by reference: `env:NAME` or `file:PATH`.
    pub(crate) secret: Option<String>,
    /// Its public keys, a JSON Web Key or a set: written here, or the file they are in. It then signs for its tokens
    /// (`private_key_jwt`), or its requests.
    pub(crate) keys: Option<serde_json::Value>,
    /// What it has to prove with each request: `signature` (RFC 9421), `dpop` (RFC 9449) or `mtls` (RFC 8705). Nothing
    /// but its token unless said.
    pub(crate) proof: Option<Proof>,
    /// Roles.
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    /// Groups.
    #[serde(default)]
    pub(crate) groups: Vec<String>,
    /// Tenant.
    pub(crate) tenant: Option<String>,
    /// Purposes it may declare.
    #[serde(default)]
    pub(crate) purposes: Vec<String>,
    /// Users it may act for; `corp/*`: all of an issuer's, once it brings their token.
    #[serde(default, rename = "for")]
    pub(crate) acts_for: Vec<String>,
    /// Its model: `vendor/model`. It can then be no other.
    pub(crate) model: Option<String>,
    /// The version of its model.
    pub(crate) version: Option<String>,
    /// Scopes it may have besides `mcp`.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    /// What rules may read.
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, serde_json::Value>,
}

/// What kind of caller.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum SaidKind {
    /// With a model.
    Agent,
    /// Without one.
    Service,
}

/// What an agent has to prove with each request, besides having a token.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum Proof {
    /// That it has its key, by a proof (RFC 9449).
    Dpop,
    /// That it has the private key of a certificate its token is bound to (RFC 8705).
    Mtls,
    /// That it has its key, by a signature of the request (RFC 9421).
    Signature,
}

impl Proof {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Dpop => "dpop",
            Self::Mtls => "mtls",
            Self::Signature => "signature",
        }
    }

    /// Reads a word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Dpop, Self::Mtls, Self::Signature]
            .into_iter()
            .find(|proof| proof.as_str() == word)
    }
}

/// Finds out what was meant.
pub(super) fn mean(at: &str, said: &SaidAgent, lookup: &Lookup<'_>) -> Result<MeantParty, Problem> {
    let secret = strong(&format!("{at}.secret"), said.secret.as_deref(), lookup)?;
    let named = said.acts_for.iter().filter(|name| !name.ends_with('*'));
    let begun = said.acts_for.iter().filter_map(|name| name.strip_suffix('*'));
    let kind = match said.kind {
        Some(SaidKind::Service) => PartyKind::Service,
        Some(SaidKind::Agent) | None => PartyKind::Agent,
    };
    let keys = said.keys.as_ref().map(|keys| read_keys(at, keys, lookup));
    let keys = keys.transpose()?;
    if said.proof == Some(Proof::Signature) && keys.is_none() {
        return Err(Problem::new(
            format!("{at}.proof"),
            "it has no key to sign with",
            "add `keys`, or take `proof` away",
        ));
    }
    let model = model(at, said)?;
    Ok(MeantParty {
        kind,
        name: said.name.clone(),
        secret,
        roles: said.roles.clone(),
        groups: said.groups.clone(),
        tenant: said.tenant.clone(),
        attributes: attributes(&said.attributes),
        purposes: said.purposes.iter().cloned().collect(),
        keys,
        acts_for: named.cloned().collect(),
        acts_for_those: begun.map(str::to_owned).collect(),
        model,
        scopes: said.scopes.clone(),
        proof: said.proof,
    })
}

fn model(at: &str, said: &SaidAgent) -> Result<Option<Model>, Problem> {
    let problem = |what: &str, remedy: &str| Problem::new(format!("{at}.model"), what, remedy);
    let Some(name) = said.model.clone() else {
        return match said.version {
            None => Ok(None),
            Some(_) => Err(problem(
                "there is a version and no model",
                "add `model`, or take `version` away",
            )),
        };
    };
    let model = Model::new(name, said.version.clone(), ModelSource::Configured);
    let unfit = || {
        problem(
            "the name or the version is no fit text",
            "write at most 128 bytes of text",
        )
    };
    model.map(Some).ok_or_else(unfit)
}

/// The public keys that are written there, or are in the file that is named there. Nothing in it is secret, so anybody
/// may read it.
fn read_keys(at: &str, said: &serde_json::Value, lookup: &Lookup<'_>) -> Result<Arc<KeySet>, Problem> {
    let at = format!("{at}.keys");
    let problem = |what: String| Problem::new(&at, what, "put a JSON Web Key Set of public keys there");
    let (text, name) = match said.as_str() {
        Some(path) => {
            let path = lookup.path(path.strip_prefix("file:").unwrap_or(path));
            let text = std::fs::read(&path);
            let text = text.map_err(|error| problem(format!("{}: {error}", path.display())))?;
            (text, path.display().to_string())
        }
        None => (said.to_string().into_bytes(), "what is written there".to_owned()),
    };
    key_set(&text)
        .map(Arc::new)
        .ok_or_else(|| problem(format!("{name} has no key that can be used")))
}

/// Public keys: a set with at least one that can be used, or a single one.
pub(crate) fn key_set(text: &[u8]) -> Option<KeySet> {
    let document = Document::parse(text.to_vec(), Keys::Exact, &CREDENTIAL).ok()?;
    let root = document.root();
    let set = match root.get("keys") {
        Some(_) => KeySet::read(root)?,
        None => KeySet::of(vec![PublicKey::read(root)?]),
    };
    (!set.is_empty()).then_some(set)
}
