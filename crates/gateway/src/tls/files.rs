//! Certificates, keys and revocation lists, from PEM files.

use std::{path::Path, sync::Arc};

use identity::svid::{TrustDomain, TrustDomains};
use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use upstream::OwnCertificate;

use crate::config::{
    door::{MeantTls, Source},
    reference::private,
    trust_domains::MeantTrustDomain,
};

/// What a listener needs.
#[derive(Debug)]
pub(crate) struct Material {
    pub(crate) own: Arc<OwnCertificate>,
    /// The authorities of clients' certificates, where clients have to show one.
    pub(crate) clients: Option<Arc<RootCertStore>>,
    pub(crate) revoked: Vec<CertificateRevocationListDer<'static>>,
    /// Trust domains whose workloads may come by their certificate.
    pub(crate) trust_domains: Arc<TrustDomains>,
}

impl Material {
    /// Reads what configuration names. A certificate that it does not name is given by `issue`.
    pub(crate) fn read(
        meant: &MeantTls,
        issue: impl FnOnce() -> Result<OwnCertificate, String>,
    ) -> Result<Self, String> {
        let own = match &meant.source {
            Source::Files { certificate, key } => own_certificate(certificate, key)?,
            Source::Acme(_) | Source::Development => issue()?,
        };
        let mut clients = None;
        if let Some(path) = &meant.client_ca {
            let mut roots = RootCertStore::empty();
            for root in authorities(path)? {
                roots
                    .add(root)
                    .map_err(|error| format!("{}: {error}", path.display()))?;
            }
            clients = Some(Arc::new(roots));
        }
        let revoked = match &meant.client_crl {
            None => Vec::new(),
            Some(path) => all(path, "revocation list")?,
        };
        let trust_domains = meant.trust_domains.iter().map(trust_domain);
        let trust_domains = TrustDomains::new(trust_domains.collect::<Result<_, _>>()?);
        Ok(Self {
            own: Arc::new(own),
            clients,
            revoked,
            trust_domains: Arc::new(trust_domains),
        })
    }
}

fn trust_domain(meant: &MeantTrustDomain) -> Result<TrustDomain, String> {
    let bundle: Vec<CertificateDer<'static>> = all(&meant.bundle, "certificate")?;
    let revoked = match &meant.crl {
        None => Vec::new(),
        Some(path) => all(path, "revocation list")?,
    };
    TrustDomain::new(
        meant.name.clone(),
        (&bundle, meant.constraints),
        &revoked,
        meant.workloads.clone(),
    )
}

/// A certificate with its chain, and its key, which nobody else may be able to read.
pub(crate) fn own_certificate(certificate: &Path, key: &Path) -> Result<OwnCertificate, String> {
    let chain = all(certificate, "certificate")?;
    private("key", key).map_err(|problem| format!("{}; {}", problem.what, problem.remedy))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, "key", &error))?;
    Ok(OwnCertificate { chain, key })
}

/// The certificates of authorities.
pub(crate) fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    all(path, "certificate")
}

/// Everything of one kind in a file, which must have one.
fn all<T: PemObject>(path: &Path, what: &str) -> Result<Vec<T>, String> {
    let found = T::pem_file_iter(path).and_then(Iterator::collect);
    let found: Vec<T> = found.map_err(|error| unreadable(path, what, &error))?;
    if found.is_empty() {
        return Err(format!("{} has no {what} in PEM form", path.display()));
    }
    Ok(found)
}

fn unreadable(path: &Path, what: &str, error: &pem::Error) -> String {
    let shown = path.display();
    if let pem::Error::Io(error) = error {
        return format!("{shown}: {error}");
    }
    if matches!(error, pem::Error::NoItemsFound) {
        return format!("{shown} has no {what} in PEM form");
    }
    format!("{shown}: {error}")
}
