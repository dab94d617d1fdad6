//! SPIFFE trust domains whose workloads prove themselves by their certificate, as said and as meant.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use identity::{
    Actor,
    svid::{Constraints, SpiffeId, is_domain},
};
use serde::Deserialize;

use super::{Problem, door::MeantTls, issuers, meant::MeantParty, reference::Lookup, said::SaidTls};

/// A trust domain.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidTrustDomain {
    /// Its name, as in `spiffe://NAME/...`.
    pub(crate) name: String,
    /// A PEM file of its authorities.
    pub(crate) bundle: String,
    /// A PEM file of lists of revoked certificates, one for each authority in a chain.
    pub(crate) crl: Option<String>,
    /// `if-any` (the default) or `required`: whether its authorities have to be held to it by URI name constraints.
    pub(crate) name_constraints: Option<String>,
    /// Its workloads, by SPIFFE ID, and the agents or services they are here.
    #[serde(default)]
    pub(crate) workloads: BTreeMap<String, String>,
}

/// The same, with what it names. The files are read where they are followed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MeantTrustDomain {
    pub(crate) name: String,
    pub(crate) bundle: PathBuf,
    pub(crate) crl: Option<PathBuf>,
    pub(crate) constraints: Constraints,
    pub(crate) workloads: BTreeMap<SpiffeId, Actor>,
}

const CONSTRAINTS: issuers::Words<Constraints> = [
    ("if-any", Constraints::IfAny),
    ("required", Constraints::Required),
];

/// Finds out what was meant.
pub(super) fn mean(
    said: Option<&SaidTls>,
    tls: Option<&mut MeantTls>,
    parties: &[MeantParty],
    lookup: &Lookup<'_>,
) -> Result<(), Problem> {
    let (Some(said), Some(tls)) = (said, tls) else {
        return Ok(());
    };
    for (n, one) in said.trust_domains.iter().enumerate() {
        let at = format!("tls.trust_domains[{n}]");
        if !is_domain(&one.name) {
            let what = format!("`{}` is no name of a trust domain", one.name);
            let remedy = "write it as `prod.example`: small letters, digits, dots, dashes";
            return Err(Problem::new(format!("{at}.name"), what, remedy));
        }
        if tls.trust_domains.iter().any(|other| other.name == one.name) {
            let what = "it is there already";
            return Err(Problem::new(format!("{at}.name"), what, "keep one of them"));
        }
        let mut workloads = BTreeMap::new();
        let place = format!("{at}.workloads");
        for (id, actor) in issuers::clients(&place, &one.workloads, parties)? {
            let known = SpiffeId::parse(&id).filter(|id| id.domain() == one.name);
            let known = known.ok_or_else(|| {
                let what = format!("`{id}` is no SPIFFE ID of a workload of that domain");
                Problem::new(
                    &place,
                    what,
                    format!("write it as `spiffe://{}/scribe`", one.name),
                )
            })?;
            workloads.insert(known, actor);
        }
        tls.trust_domains.push(MeantTrustDomain {
            name: one.name.clone(),
            bundle: lookup.path(&one.bundle),
            crl: one.crl.as_deref().map(|path| lookup.path(path)),
            constraints: issuers::word(
                &at,
                "name_constraints",
                one.name_constraints.as_deref(),
                &CONSTRAINTS,
            )?,
            workloads,
        });
    }
    Ok(())
}

impl MeantTrustDomain {
    /// The files it is read from.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.bundle.as_path()).chain(self.crl.as_deref())
    }
}
