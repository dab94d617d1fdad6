//! External identity providers, as meant.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use identity::{
    Actor, ActorKind,
    token::{ClaimPath, Delegates, ModelClaims, Names, Others, Trust},
};
use policy::PartyKind;
use rustls::pki_types::CertificateDer;

use super::{
    Problem,
    login::{self, MeantLoginAt},
    meant::MeantParty,
    reference::Lookup,
    said::{SaidIssuer, SaidNames},
};
use crate::{known::issuers::Network, tls};

/// How long a token may live, and how old keys may be, unless said.
const TOKEN_LIFETIME_S: u64 = 2 * 3600;
const KEYS_AGE_S: u64 = 3600;
const DAY_S: u64 = 24 * 3600;

/// A provider.
#[derive(Clone, Debug)]
pub(crate) struct MeantIssuer {
    pub(crate) trust: Trust,
    pub(crate) jwks: Option<String>,
    pub(crate) metadata: Option<String>,
    pub(crate) login: Option<MeantLoginAt>,
    pub(crate) keys_age: Duration,
    pub(crate) network: Network,
    pub(crate) authorities: Vec<CertificateDer<'static>>,
}

/// Finds out what was meant.
pub(super) fn mean(
    said: &[SaidIssuer],
    parties: &[MeantParty],
    lookup: &Lookup<'_>,
    note: &mut impl FnMut(Result<(), Problem>),
) -> Vec<MeantIssuer> {
    let mut issuers: Vec<MeantIssuer> = Vec::new();
    for (n, said) in said.iter().enumerate() {
        let at = format!("issuers[{n}]");
        match one(&at, said, parties, lookup).and_then(|issuer| apart(&at, issuer, &issuers)) {
            Ok(issuer) => issuers.push(issuer),
            Err(problem) => note(Err(problem)),
        }
    }
    issuers
}

/// No two issuers may be able to give the same name.
fn apart(at: &str, issuer: MeantIssuer, others: &[MeantIssuer]) -> Result<MeantIssuer, Problem> {
    for other in others {
        if issuer.trust.issuer == other.trust.issuer {
            return Err(Problem::new(
                format!("{at}.issuer"),
                "it is there already",
                "keep one of them",
            ));
        }
        let (one, two) = (&issuer.trust.prefix, &other.trust.prefix);
        if one.starts_with(two.as_str()) || two.starts_with(one.as_str()) {
            let what = format!("`{one}` and `{two}`: one issuer could give the other's names");
            let remedy = "give each issuer a `name` or a `prefix` that the other's does not begin with";
            return Err(Problem::new(format!("{at}.prefix"), what, remedy));
        }
    }
    Ok(issuer)
}

fn one(
    at: &str,
    said: &SaidIssuer,
    parties: &[MeantParty],
    lookup: &Lookup<'_>,
) -> Result<MeantIssuer, Problem> {
    let network = word(at, "network", said.network.as_deref(), &NETWORKS)?;
    places(at, said, network)?;
    let authorities = match &said.ca {
        None => Vec::new(),
        Some(path) => tls::authorities(&lookup.path(path))
            .map_err(|what| Problem::new(format!("{at}.ca"), what, "correct the path, or the file"))?,
    };
    let claim = |key, text: &Option<String>| claim(at, key, text.as_deref().unwrap_or(key));
    let lifetime = seconds(said.token_lifetime, TOKEN_LIFETIME_S);
    let trust = Trust {
        issuer: Arc::from(said.issuer.as_str()),
        also: said.also.clone(),
        tenants: said.tenants.clone(),
        typ: word(at, "typ", said.typ.as_deref(), &TYPES)?.to_owned(),
        audience: said.audience.clone(),
        scope: said
            .scope
            .clone()
            .unwrap_or_else(|| identity::token::SCOPE.to_owned()),
        lifetime_ms_max: i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX),
        clients: clients(&format!("{at}.agents"), &said.agents, parties)?,
        others: word(at, "clients", said.clients.as_deref(), &OTHERS)?,
        prefix: prefix(said),
        user: match &said.user {
            None => claim("sub", &None)?,
            Some(_) => claim("user", &said.user)?,
        },
        roles: names(at, "roles", said.roles.as_ref())?,
        groups: names(at, "groups", said.groups.as_ref())?,
        tenant: match &said.tenant {
            None => None,
            Some(_) => Some(claim("tenant", &said.tenant)?),
        },
        model: model(at, said)?,
        workloads: clients(&format!("{at}.workloads"), &said.workloads, parties)?,
        delegates: if said.delegates {
            Delegates::Believed
        } else {
            Delegates::Refused
        },
    };
    Ok(MeantIssuer {
        trust,
        jwks: said.jwks.clone(),
        metadata: said.metadata.clone(),
        login: match &said.login {
            None => None,
            Some(login) => Some(login::mean(&format!("{at}.login"), &said.name, login, lookup)?),
        },
        keys_age: seconds(said.keys_age, KEYS_AGE_S),
        network,
        authorities,
    })
}

/// Where an issuer and its keys are.
fn places(at: &str, said: &SaidIssuer, network: Network) -> Result<(), Problem> {
    // A trust domain says nothing of where its keys are.
    if !said.issuer.starts_with("spiffe://") {
        named_well(at, said)?;
        url(&format!("{at}.issuer"), &said.issuer, network)?;
    } else if said.jwks.is_none() {
        let remedy = "add `jwks: https://...`, where its bundle is served";
        return Err(Problem::new(
            format!("{at}.jwks"),
            "a trust domain needs it",
            remedy,
        ));
    }
    if let Some(jwks) = &said.jwks {
        url(&format!("{at}.jwks"), jwks, network)?;
    }
    if let Some(metadata) = &said.metadata {
        url(&format!("{at}.metadata"), metadata, network)?;
    }
    Ok(())
}

/// An issuer with a name for each tenant says which tenants, and where its metadata is, since that is no tenant's.
fn named_well(at: &str, said: &SaidIssuer) -> Result<(), Problem> {
    let bad = |key: &str, what: &str, remedy: &str| Problem::new(format!("{at}.{key}"), what, remedy);
    match (said.issuer.contains("{tenantid}"), said.tenants.is_empty()) {
        (true, true) => Err(bad(
            "tenants",
            "whoever has a tenant there could log in",
            "list the tenants that are believed",
        )),
        (true, false) if said.metadata.is_none() => Err(bad(
            "metadata",
            "the name is of no tenant, so nothing is found by it",
            "write the URL of its metadata, such as `https://host/common/v2.0/.well-known/openid-configuration`",
        )),
        (false, false) => Err(bad(
            "tenants",
            "the issuer has one name for all",
            "write `{tenantid}` in `issuer` where the tenant stands, or leave `tenants` out",
        )),
        (true, false) | (false, true) => Ok(()),
    }
}

/// Where it says which model a client is.
fn model(at: &str, said: &SaidIssuer) -> Result<Option<ModelClaims>, Problem> {
    let version = said
        .model_version
        .as_deref()
        .map(|text| claim(at, "model_version", text));
    match (&said.model, version.transpose()?) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Problem::new(
            format!("{at}.model_version"),
            "there is a version and no model",
            "add `model`, or take `model_version` away",
        )),
        (Some(name), version) => Ok(Some(ModelClaims {
            name: claim(at, "model", name)?,
            version,
        })),
    }
}

/// What stands before every name it gives.
pub(super) fn prefix(said: &SaidIssuer) -> String {
    said.prefix.clone().unwrap_or_else(|| format!("{}/", said.name))
}

/// Words a key may have, the one first that is meant when nothing is said, and what they mean.
pub(super) type Words<T> = [(&'static str, T); 2];
pub(super) const NETWORKS: Words<Network> = [("public", Network::Public), ("private", Network::Private)];
const TYPES: Words<&str> = [("at+jwt", "at+jwt"), ("JWT", "jwt")];
const OTHERS: Words<Others> = [("listed", Others::Nobody), ("any", Others::TheirUser)];

pub(super) fn word<T: Copy>(at: &str, key: &str, said: Option<&str>, words: &Words<T>) -> Result<T, Problem> {
    let [(usual, _), (other, _)] = words;
    let said = said.unwrap_or(usual);
    let found = words.iter().find(|(word, _)| *word == said);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let what = format!("`{said}` is not known here");
        Problem::new(
            format!("{at}.{key}"),
            what,
            format!("use one of: {usual}, {other}"),
        )
    })
}

/// Keys are asked for every ten seconds at most, so nothing is believed for much less.
fn seconds(said: Option<u64>, usual: u64) -> Duration {
    Duration::from_secs(said.unwrap_or(usual).clamp(30, DAY_S))
}

pub(super) fn clients(
    at: &str,
    said: &BTreeMap<String, String>,
    parties: &[MeantParty],
) -> Result<BTreeMap<String, Actor>, Problem> {
    let actor = |(client, name): (&String, &String)| {
        let kind = parties
            .iter()
            .filter(|party| party.name == *name)
            .find_map(|party| match party.kind {
                PartyKind::Agent => Some(ActorKind::Agent),
                PartyKind::Service => Some(ActorKind::Service),
                PartyKind::User => None,
            });
        let name = name.clone();
        match kind {
            Some(kind) => Ok((client.clone(), Actor { kind, name })),
            None => Err(Problem::new(
                at,
                format!("there is no agent `{name}`"),
                "add it under `agents`, or correct the name",
            )),
        }
    };
    said.iter().map(actor).collect()
}

fn claim(at: &str, key: &str, text: &str) -> Result<ClaimPath, Problem> {
    ClaimPath::parse(text).ok_or_else(|| {
        let what = format!("`{text}` is neither a claim nor a JSON pointer");
        let remedy = "write a name, or a pointer such as `/realm_access/roles`";
        Problem::new(format!("{at}.{key}"), what, remedy)
    })
}

fn names(at: &str, key: &str, said: Option<&SaidNames>) -> Result<Names, Problem> {
    let place = said.and_then(|said| said.claim.as_deref()).unwrap_or(key);
    Ok(Names {
        claim: claim(at, key, place)?,
        map: said.and_then(|said| said.map.clone()),
    })
}

fn url(at: &str, text: &str, network: Network) -> Result<(), Problem> {
    let uri = text.parse::<hyper::Uri>().ok().filter(|uri| uri.host().is_some());
    let scheme = uri.as_ref().and_then(hyper::Uri::scheme_str);
    match (scheme, network) {
        (Some("https"), _) | (Some("http"), Network::Private) => Ok(()),
        (Some("http"), Network::Public) => Err(Problem::new(
            at,
            "keys would be fetched unprotected",
            "write `https`; `network: private` allows http to this machine",
        )),
        (_, _) => Err(Problem::new(
            at,
            "it is not a URL",
            "write it as `https://login.example`",
        )),
    }
}
