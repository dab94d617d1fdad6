//! Whose certificate a client may come with: one of the authorities named for all, or a workload's of a trust domain. A
//! certificate that says it is of a trust domain is judged by that domain's authorities and no others.

use std::sync::Arc;

use identity::svid::{Svid, TrustDomains};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{
        WebPkiSupportedAlgorithms, aws_lc_rs as provider, verify_tls12_signature, verify_tls13_signature,
    },
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

/// See the module.
#[derive(Debug)]
pub(super) struct Clients {
    authorities: Option<Arc<dyn ClientCertVerifier>>,
    trust_domains: Arc<TrustDomains>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Clients {
    /// Those that these let in; none where nobody shows a certificate.
    pub(super) fn of(
        authorities: Option<Arc<dyn ClientCertVerifier>>,
        trust_domains: Arc<TrustDomains>,
    ) -> Option<Arc<Self>> {
        if authorities.is_none() && trust_domains.is_empty() {
            return None;
        }
        Some(Arc::new(Self {
            authorities,
            trust_domains,
            algorithms: provider::default_provider().signature_verification_algorithms,
        }))
    }

    /// The workload that certificates prove, if they prove one.
    pub(super) fn workload(
        &self,
        own: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Option<Svid>, Error> {
        let now_ms = i64::try_from(now.as_secs())
            .unwrap_or(i64::MAX)
            .saturating_mul(1000);
        self.trust_domains
            .check(own, chain, now_ms)
            .map_err(|error| CertificateError::Other(OtherError(Arc::new(error))).into())
    }
}

impl ClientCertVerifier for Clients {
    /// Everybody is asked for one. Only where clients have authorities of their own has everybody to show one:
    /// otherwise those without come with a token.
    fn client_auth_mandatory(&self) -> bool {
        self.authorities.is_some()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        match &self.authorities {
            // Whoever has several certificates is not talked out of the workload's.
            Some(authorities) if self.trust_domains.is_empty() => authorities.root_hint_subjects(),
            Some(_) | None => &[],
        }
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.workload(own, chain, now)?.is_some() {
            return Ok(ClientCertVerified::assertion());
        }
        match &self.authorities {
            Some(authorities) => authorities.verify_client_cert(own, chain, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
