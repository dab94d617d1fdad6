//! Workloads that prove themselves by a client certificate (SPIFFE: X.509-SVID). The certificate names one workload of one
//! trust domain, and only that domain's own authorities vouch for it. That its key was there, TLS has shown.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor, UnixTime};
use thiserror::Error;
use webpki::{
    ALL_VERIFICATION_ALGS, CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage,
    OwnedCertRevocationList, RevocationOptionsBuilder, anchor_from_trusted_cert,
};

use crate::{
    der::{Der, Value, moment},
    oauth::Client,
    principal::{Actor, CredentialId, Principal},
    proof::Binding,
    secret::sha256,
    token::SCOPE,
};

/// The longest name (SPIFFE-ID section 2.3), and the longest of a trust domain, in bytes.
const ID_BYTES_MAX: usize = 2048;
const DOMAIN_BYTES_MAX: usize = 255;
/// `subjectAltName`, 2.5.29.17, and `keyUsage`, 2.5.29.15.
const ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
/// A URI among names.
const URI: u8 = 0x86;

/// The name of a workload: `spiffe://DOMAIN/PATH`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct SpiffeId {
    text: String,
    domain_ends: usize,
}

/// Why a certificate proves no workload.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum SvidError {
    /// What is in it cannot be read.
    #[error("the certificate cannot be read")]
    Certificate,
    /// Not exactly one URI.
    #[error("the certificate has {0} URIs; that of a workload has one")]
    Uris(usize),
    /// The URI is no SPIFFE ID of a workload.
    #[error("its URI is no SPIFFE ID of a workload")]
    Id,
    /// Not what the key of a workload is for.
    #[error(
        "its key usage is not that of a workload: digitalSignature, critical, and nothing that signs certificates"
    )]
    Usage,
    /// The authorities of its trust domain do not vouch for it.
    #[error("the authorities of `{domain}` do not vouch for it: {why}")]
    Chain {
        /// The trust domain.
        domain: String,
        /// Why not.
        why: String,
    },
}

impl SpiffeId {
    /// Reads the name of a workload: with a path, and without anything that could be read in two ways.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("spiffe://")?;
        let (domain, path) = rest.split_once('/')?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let segment = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(fits);
        let good = text.len() <= ID_BYTES_MAX && is_domain(domain) && path.split('/').all(segment);
        good.then(|| Self {
            text: text.to_owned(),
            domain_ends: "spiffe://".len() + domain.len(),
        })
    }

    /// Its trust domain.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.text
            .get("spiffe://".len()..self.domain_ends)
            .unwrap_or_default()
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether a text is the name of a trust domain.
#[must_use]
pub fn is_domain(text: &str) -> bool {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_');
    !text.is_empty() && text.len() <= DOMAIN_BYTES_MAX && text.bytes().all(fits)
}

/// Whether authorities of a trust domain have to be held to it by what is in their own certificates.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Constraints {
    /// Those that are there hold; an authority may have none, as most have.
    #[default]
    IfAny,
    /// An authority that is not held to the domain vouches for nobody.
    Required,
}

/// A trust domain: whose word counts, and who its workloads are here.
pub struct TrustDomain {
    name: String,
    anchors: Vec<Anchor>,
    revoked: Vec<CertRevocationList<'static>>,
    workloads: BTreeMap<SpiffeId, Actor>,
}

/// An authority, and the domains it may vouch for where its certificate says so.
struct Anchor {
    trusted: TrustAnchor<'static>,
    permitted: Option<Vec<String>>,
    excluded: Vec<String>,
}

impl TrustDomain {
    /// A trust domain with its bundle.
    ///
    /// # Errors
    /// What is wrong with the bundle.
    pub fn new(
        name: String,
        (bundle, constraints): (&[CertificateDer<'static>], Constraints),
        revoked: &[CertificateRevocationListDer<'static>],
        workloads: BTreeMap<SpiffeId, Actor>,
    ) -> Result<Self, String> {
        let mut anchors = Vec::new();
        for certificate in bundle {
            let anchor = Anchor::of(certificate)?;
            if constraints == Constraints::Required && anchor.permitted.is_none() {
                return Err(format!(
                    "an authority of `{name}` is held to no domain: its certificate has no URI name constraint"
                ));
            }
            anchors.push(anchor);
        }
        let list = |list: &CertificateRevocationListDer<'static>| {
            OwnedCertRevocationList::from_der(list)
                .map(CertRevocationList::Owned)
                .map_err(|error| format!("a revocation list of `{name}`: {error}"))
        };
        let revoked = revoked.iter().map(list).collect::<Result<_, _>>()?;
        Ok(Self {
            name,
            anchors,
            revoked,
            workloads,
        })
    }

    /// Whether a URI says it is of this domain, however badly.
    fn is_named_in(&self, uri: &str) -> bool {
        let lower = uri.to_ascii_lowercase();
        let Some(rest) = lower.strip_prefix("spiffe:") else {
            return false;
        };
        let rest = rest.trim_start_matches('/');
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        host.split(':').next().unwrap_or_default() == self.name
    }

    fn check(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        uris: &[String],
        now_ms: i64,
    ) -> Result<Svid, SvidError> {
        let [uri] = uris else {
            return Err(SvidError::Uris(uris.len()));
        };
        let id = SpiffeId::parse(uri).ok_or(SvidError::Id)?;
        if id.domain() != self.name {
            return Err(SvidError::Id);
        }
        let leaf = EndEntityCert::try_from(certificate).map_err(|_| SvidError::Certificate)?;
        self.vouches(&leaf, chain, now_ms)?;
        let said = Said::of(certificate).ok_or(SvidError::Certificate)?;
        if !said.is_for_a_workload {
            return Err(SvidError::Usage);
        }
        let digest = sha256(certificate.as_ref());
        Ok(Svid {
            actor: self.workloads.get(&id).cloned(),
            id,
            credential: CredentialId::of(certificate.as_ref()),
            binding: Arc::from(URL_SAFE_NO_PAD.encode(digest)),
            expires_ms: said.ends_ms,
        })
    }

    /// A chain to one of the domain's own authorities stands, and nothing in it was revoked.
    fn vouches(
        &self,
        leaf: &EndEntityCert<'_>,
        chain: &[CertificateDer<'_>],
        now_ms: i64,
    ) -> Result<(), SvidError> {
        let refused = |why: String| SvidError::Chain {
            domain: self.name.clone(),
            why,
        };
        let now = Duration::from_millis(u64::try_from(now_ms).unwrap_or_default());
        let lists: Vec<&CertRevocationList<'_>> = self.revoked.iter().collect();
        let revocation = RevocationOptionsBuilder::new(&lists)
            .ok()
            .map(|options| options.with_expiration_policy(ExpirationPolicy::Enforce).build());
        let may = |anchor: &&Anchor| anchor.may_vouch_for(&self.name);
        let anchors = self.anchors.iter().filter(may);
        let anchors: Vec<_> = anchors.map(|anchor| anchor.trusted.clone()).collect();
        let path = leaf.verify_for_usage(
            ALL_VERIFICATION_ALGS,
            &anchors,
            chain,
            UnixTime::since_unix_epoch(now),
            KeyUsage::client_auth(),
            revocation,
            None,
        );
        path.map(drop).map_err(|error| refused(error.to_string()))
    }
}

impl Anchor {
    /// Name constraints of URIs are judged here, since `webpki` knows them only to refuse all that have any.
    fn of(certificate: &CertificateDer<'static>) -> Result<Self, String> {
        let mut trusted = anchor_from_trusted_cert(certificate)
            .map_err(|error| format!("an authority's certificate: {error}"))?
            .to_owned();
        let (mut permitted, mut excluded) = (None, Vec::new());
        if let Some(constraints) = trusted.name_constraints.take() {
            let mut all = Der(constraints.as_ref());
            for subtrees in all.by_ref() {
                let names = subtrees.values().filter_map(|subtree| subtree.values().next());
                let names: Vec<Value<'_>> = names.collect();
                if names.iter().any(|name| name.tag != URI) {
                    return Err("an authority's name constraints are not of URIs alone".to_owned());
                }
                let host = |name: &Value<'_>| String::from_utf8_lossy(name.inner).to_ascii_lowercase();
                let hosts: Vec<String> = names.iter().map(host).collect();
                match subtrees.tag {
                    0xa0 => permitted = Some(hosts),
                    0xa1 => excluded = hosts,
                    _ => return Err("an authority's name constraints cannot be read".to_owned()),
                }
            }
            if !all.0.is_empty() {
                return Err("an authority's name constraints cannot be read".to_owned());
            }
        }
        Ok(Self {
            trusted,
            permitted,
            excluded,
        })
    }

    /// RFC 5280 section 4.2.1.10: a host itself, or with a dot before it all below it.
    fn may_vouch_for(&self, domain: &str) -> bool {
        let within = |host: &String| match host.strip_prefix('.') {
            Some(parent) => domain
                .strip_suffix(parent)
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            None => host == domain,
        };
        let permitted = self.permitted.as_ref();
        permitted.is_none_or(|hosts| hosts.iter().any(within)) && !self.excluded.iter().any(within)
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustDomain({})", self.name)
    }
}

/// All trust domains that are believed.
#[derive(Debug, Default)]
pub struct TrustDomains(Vec<TrustDomain>);

impl TrustDomains {
    /// These.
    #[must_use]
    pub fn new(domains: Vec<TrustDomain>) -> Self {
        Self(domains)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The workload a certificate proves; none where it says nothing of any domain here.
    ///
    /// # Errors
    /// When it says that it is a workload of one, and is not.
    pub fn check(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now_ms: i64,
    ) -> Result<Option<Svid>, SvidError> {
        let uris = Said::of(certificate).ok_or(SvidError::Certificate)?.uris;
        let named = |domain: &&TrustDomain| uris.iter().any(|uri| domain.is_named_in(uri));
        match self.0.iter().find(named) {
            None => Ok(None),
            Some(domain) => domain.check(certificate, chain, &uris, now_ms).map(Some),
        }
    }
}

/// What a certificate says (RFC 5280 section 4.1). Believed only after its chain.
struct Said {
    uris: Vec<String>,
    ends_ms: i64,
    is_for_a_workload: bool,
}

impl Said {
    fn of(certificate: &[u8]) -> Option<Self> {
        let whole = Der(certificate).next()?;
        let mut fields = whole.values().next()?.values().filter(|value| value.tag != 0xa0);
        let (_serial, _algorithm, _issuer) = (fields.next()?, fields.next()?, fields.next()?);
        let ends_s = moment(fields.next()?.values().nth(1)?)?;
        let mut said = Self {
            uris: Vec::new(),
            ends_ms: i64::try_from(ends_s).ok()?.checked_mul(1000)?,
            is_for_a_workload: false,
        };
        let extensions = fields.find(|value| value.tag == 0xa3);
        let extensions = extensions.into_iter().flat_map(Value::values);
        for extension in extensions.flat_map(Value::values) {
            let parts: Vec<Value<'_>> = extension.values().collect();
            let (id, value) = (parts.first()?.inner, parts.last()?.inner);
            if id == ALT_NAME {
                let names = Der(value).next()?.values().filter(|name| name.tag == URI);
                // What is no text is no name of anybody, and counts as one all the same.
                said.uris
                    .extend(names.map(|name| String::from_utf8_lossy(name.inner).into_owned()));
            } else if id == KEY_USAGE {
                let critical = parts.get(1).is_some_and(|part| part.whole == [0x01, 0x01, 0xff]);
                said.is_for_a_workload = critical && signs_alone(Der(value).next()?);
            }
        }
        Some(said)
    }
}

/// `digitalSignature`, and neither `keyCertSign` nor `cRLSign`.
fn signs_alone(usage: Value<'_>) -> bool {
    let bits = usage.inner.get(1).copied().unwrap_or_default();
    usage.tag == 0x03 && bits & 0x80 != 0 && bits & 0x06 == 0
}

/// A workload whose certificate was shown and holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Svid {
    id: SpiffeId,
    actor: Option<Actor>,
    credential: CredentialId,
    binding: Arc<str>,
    expires_ms: i64,
}

impl Svid {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// The agent or service it is here, if it is one.
    #[must_use]
    pub fn actor(&self) -> Option<&Actor> {
        self.actor.as_ref()
    }

    /// That agent or service, for itself and for no user; none once the certificate has ended.
    #[must_use]
    pub fn principal(&self, client: &Client, now_ms: i64) -> Option<Principal> {
        let is_it = |actor: &&Actor| actor.kind == client.kind && actor.name == client.id;
        let actor = self.actor.as_ref().filter(is_it)?.clone();
        let scopes = client.scopes.iter().cloned();
        (now_ms < self.expires_ms).then(|| {
            Principal::vouch(Principal {
                actor,
                for_user: None,
                tenant: client.tenant.clone(),
                model: client.model.clone(),
                scopes: scopes.chain([SCOPE.to_owned()]).collect(),
                context: None,
                declared: None,
                credential: self.credential,
                token_id: None,
                issued_ms: now_ms,
                expires_ms: self.expires_ms,
                binding: Some(Binding::Certificate(Arc::clone(&self.binding))),
                asserted: None,
                login: None,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Said, SpiffeId, TrustDomain, is_domain};
    use crate::der::Der;

    proptest! {
        /// Certificates come from anybody: whatever is in one, it is read or it is not.
        #[test]
        fn whatever_comes_in_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = Said::of(&bytes);
            // The same, where it looks like a certificate for a while.
            let length = [0x30, 0x82, 0x02, 0x00];
            let _ = Said::of(&[&length[..], &length[..], &bytes].concat());
            for value in Der(&bytes).take(64) {
                prop_assert!(value.whole.len() >= value.inner.len());
            }
        }
    }

    #[test]
    fn names_are_read_in_one_way_or_not_at_all() {
        for good in ["spiffe://prod.example/scribe", "spiffe://a_b-1/x/Y.z/_-"] {
            assert_eq!(SpiffeId::parse(good).expect("a name").as_str(), good);
        }
        for bad in [
            "",
            "spiffe://prod.example",
            "spiffe://prod.example/",
            "spiffe://prod.example//x",
            "spiffe://prod.example/x/",
            "spiffe://prod.example/./x",
            "spiffe://prod.example/x/..",
            "spiffe://prod.example/x?y=z",
            "spiffe://prod.example/x#y",
            "spiffe://prod.example/%78",
            "spiffe://prod.example/x y",
            "spiffe://prod.example/\u{e9}",
            "spiffe://prod.example:8080/x",
            "spiffe://user@prod.example/x",
            "spiffe://Prod.example/x",
            "SPIFFE://prod.example/x",
            "spiffe:/prod.example/x",
            "https://prod.example/x",
            "spiffe:///x",
        ] {
            assert_eq!(SpiffeId::parse(bad), None, "{bad}");
        }
        let long = format!("spiffe://prod.example/{}", "x".repeat(2048));
        assert_eq!(SpiffeId::parse(&long), None);
        assert!(!is_domain(&"x".repeat(256)));
    }

    /// Whoever names a domain badly names it: nothing that is meant to be of it is judged by other authorities.
    #[test]
    fn a_domain_is_found_however_it_is_written() {
        let domain = TrustDomain::new(
            "prod.example".to_owned(),
            (&[], super::Constraints::IfAny),
            &[],
            std::collections::BTreeMap::new(),
        )
        .expect("a domain");
        for uri in [
            "spiffe://prod.example/x",
            "SPIFFE://PROD.example",
            "spiffe://prod.example:1/x",
            "spiffe://a@prod.example?x",
            "spiffe:/prod.example/x",
        ] {
            assert!(domain.is_named_in(uri), "{uri}");
        }
        for uri in [
            "spiffe://other.example/prod.example",
            "https://prod.example/x",
            "spiffe://xprod.example/",
        ] {
            assert!(!domain.is_named_in(uri), "{uri}");
        }
    }
}
