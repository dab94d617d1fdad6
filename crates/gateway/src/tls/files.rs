//! Certificates, keys and revocation lists, from PEM files.

use std::{path::Path, sync::Arc};

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
};

use super::Authority;

/// What a listener needs.
#[derive(Debug)]
pub(crate) struct Material {
    pub(crate) own: Arc<OwnCertificate>,
    /// The authorities of clients' certificates, where clients have to show one.
    pub(crate) clients: Option<Arc<RootCertStore>>,
    pub(crate) revoked: Vec<CertificateRevocationListDer<'static>>,
}

impl Material {
    /// Reads what configuration names. Certificates that it does not name are made by `authority`.
    pub(crate) fn read(
        meant: &MeantTls,
        authority: impl FnOnce() -> Result<Authority, String>,
    ) -> Result<Self, String> {
        let own = match &meant.source {
            Source::Files { certificate, key } => own_certificate(certificate, key)?,
            Source::Development => authority()?.issue()?,
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
        Ok(Self {
            own: Arc::new(own),
            clients,
            revoked,
        })
    }
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
