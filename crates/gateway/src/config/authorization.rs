//! What people with a browser can do here, as meant: who can log in, and which clients they may let in.

use std::collections::BTreeMap;

use identity::{
    PasswordHash, Secret, Totp,
    oauth::{RedirectUri, Registrar, document_url},
};
use policy::PartyKind;
use rustls::pki_types::CertificateDer;

use serde::Deserialize;

use super::{
    Problem,
    issuers::{NETWORKS, word},
    meant::{MeantParty, name_is_fit, strong},
    reference::Lookup,
    said::{Said, SaidClient, SaidUser},
};
use crate::{known::issuers::Network, tls};

/// Who can log in, and which clients there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct MeantAuthorization {
    /// By the user's name.
    pub(crate) logins: BTreeMap<String, MeantLogin>,
    pub(crate) clients: Vec<MeantClient>,
    /// Whether clients may register themselves.
    pub(crate) registration: Switch,
    /// Whether clients are known by documents at URLs.
    pub(crate) documents: Switch,
    pub(crate) mfa: Mfa,
    pub(crate) network: Network,
    pub(crate) authorities: Vec<CertificateDer<'static>>,
}

/// Whether there is something.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum Switch {
    On,
    #[default]
    Off,
}

/// Whether a password alone will do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Mfa {
    /// For those who have nothing else.
    #[default]
    Optional,
    /// For nobody.
    Required,
}

/// Whether proofs of possession need a nonce of ours.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Nonce {
    #[default]
    Optional,
    Required,
}

/// What a user proves to be there with.
#[derive(Clone, Debug)]
pub(crate) struct MeantLogin {
    pub(crate) password: PasswordHash,
    pub(crate) totp: Option<Totp>,
}

/// A client that is known before it comes.
#[derive(Clone, Debug)]
pub(crate) struct MeantClient {
    pub(crate) id: String,
    pub(crate) name: String,
    /// None where the document at the URL that is its id says them.
    pub(crate) redirects: Vec<RedirectUri>,
    pub(crate) secret: Option<Secret>,
    pub(crate) agent: Option<String>,
}

const SWITCHES: [(&str, Switch); 2] = [("on", Switch::On), ("off", Switch::Off)];
const REGISTRATION: [(&str, Switch); 2] = [("off", Switch::Off), ("on", Switch::On)];
const NONCES: [(&str, Nonce); 2] = [("optional", Nonce::Optional), ("required", Nonce::Required)];
const MFA: [(&str, Mfa); 2] = [("optional", Mfa::Optional), ("required", Mfa::Required)];

/// Finds out what was meant.
pub(super) fn mean(
    said: &Said,
    parties: &[MeantParty],
    lookup: &Lookup<'_>,
    note: &mut impl FnMut(Result<(), Problem>),
) -> MeantAuthorization {
    let mut meant = MeantAuthorization::default();
    for (n, user) in said.users.iter().enumerate() {
        match login(&format!("users[{n}]"), user, lookup) {
            Ok(login) => meant.logins.extend(login.map(|login| (user.name.clone(), login))),
            Err(problem) => note(Err(problem)),
        }
    }
    for (n, said) in said.clients.iter().enumerate() {
        let at = format!("clients[{n}]");
        match client(&at, said, parties, lookup) {
            Ok(client) if meant.clients.iter().any(|other| other.id == client.id) => {
                let what = format!("two entries have the id `{}`", client.id);
                note(Err(Problem::new(format!("{at}.id"), what, "keep one of them")));
            }
            Ok(client) => meant.clients.push(client),
            Err(problem) => note(Err(problem)),
        }
    }
    if let Err(problem) = switches(said, lookup, &mut meant) {
        note(Err(problem));
    }
    meant
}

/// Whether proofs need a nonce.
pub(super) fn nonce(said: &Said) -> Result<Nonce, Problem> {
    word("dpop", "nonce", said.dpop.nonce.as_deref(), &NONCES)
}

fn switches(said: &Said, lookup: &Lookup<'_>, meant: &mut MeantAuthorization) -> Result<(), Problem> {
    let (at, said) = ("authorization", &said.authorization);
    meant.registration = word(at, "registration", said.registration.as_deref(), &REGISTRATION)?;
    meant.documents = word(
        at,
        "metadata_documents",
        said.metadata_documents.as_deref(),
        &SWITCHES,
    )?;
    meant.mfa = word(at, "mfa", said.mfa.as_deref(), &MFA)?;
    meant.network = word(at, "network", said.network.as_deref(), &NETWORKS)?;
    if let Some(path) = &said.ca {
        let authorities = tls::authorities(&lookup.path(path));
        meant.authorities = authorities
            .map_err(|what| Problem::new("authorization.ca", what, "correct the path, or the file"))?;
    }
    Ok(())
}

fn login(at: &str, said: &SaidUser, lookup: &Lookup<'_>) -> Result<Option<MeantLogin>, Problem> {
    let Some(reference) = &said.password else {
        return match said.totp {
            None => Ok(None),
            Some(_) => Err(Problem::new(
                format!("{at}.totp"),
                "a one-time code goes with a password, and there is none",
                "add `password`, or leave `totp` out",
            )),
        };
    };
    let at_password = format!("{at}.password");
    let hash = PasswordHash::parse(&lookup.secret(&at_password, reference)?);
    let password = hash.map_err(|error| {
        let remedy = "make it with `sallyport user hash` and put what that prints there";
        Problem::new(at_password, error.to_string(), remedy)
    })?;
    let totp = match &said.totp {
        None => None,
        Some(reference) => {
            let at = format!("{at}.totp");
            let totp = Totp::parse(&lookup.secret(&at, reference)?);
            Some(totp.ok_or_else(|| {
                let what = "it is not a secret of at least 128 bits in base 32";
                Problem::new(at, what, "make it with `sallyport user totp`")
            })?)
        }
    };
    Ok(Some(MeantLogin { password, totp }))
}

fn client(
    at: &str,
    said: &SaidClient,
    parties: &[MeantParty],
    lookup: &Lookup<'_>,
) -> Result<MeantClient, Problem> {
    let id_at = format!("{at}.id");
    if said.id.starts_with("https:") {
        document_url(&said.id).map_err(|what| {
            Problem::new(
                id_at,
                what,
                "write the URL of its metadata document as the client does",
            )
        })?;
    } else {
        name_is_fit(&id_at, &said.id)?;
        if said.redirect_uris.is_empty() {
            let what = "nobody could be sent back to it";
            return Err(Problem::new(
                format!("{at}.redirect_uris"),
                what,
                "write where it listens",
            ));
        }
    }
    let redirects = said
        .redirect_uris
        .iter()
        .map(|uri| RedirectUri::parse(uri, Registrar::Operator));
    let redirects = redirects.collect::<Result<_, _>>().map_err(|error| {
        let remedy = "write it letter by letter as the client sends it";
        Problem::new(format!("{at}.redirect_uris"), error.to_string(), remedy)
    })?;
    if let Some(agent) = &said.agent
        && !parties
            .iter()
            .any(|party| party.kind != PartyKind::User && party.name == *agent)
    {
        let what = format!("there is no agent `{agent}`");
        return Err(Problem::new(
            format!("{at}.agent"),
            what,
            "add it under `agents`, or correct the name",
        ));
    }
    Ok(MeantClient {
        id: said.id.clone(),
        name: said.name.clone().unwrap_or_else(|| said.id.clone()),
        redirects,
        secret: strong(&format!("{at}.secret"), said.secret.as_deref(), lookup)?,
        agent: said.agent.clone(),
    })
}
