//! Whose certificate signed something: DER (X.690) as far as it takes to find signatures and names, the chain and the
//! signatures themselves by `webpki`.
//!
//! It knows bytes alone, so that it can be fuzzed (`fuzz/targets/bundle.rs`). A chain is judged by the configured authority alone. Revocation is not looked up.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use identity::der::{Der, Value, moment};
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

/// `id-kp-codeSigning`, 1.3.6.1.5.5.7.3.3.
const CODE_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];
/// `signedData`, 1.2.840.113549.1.7.2.
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
/// `messageDigest`, 1.2.840.113549.1.9.4.
const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4];
/// `sha256`, 2.16.840.1.101.3.4.2.1.
const SHA256_OID: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
/// `subjectAltName`, 2.5.29.17.
const ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
/// `commonName`, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
/// Fulcio's issuer, 1.3.6.1.4.1.57264.1.8.
const FULCIO_ISSUER: &[u8] = &[0x2b, 6, 1, 4, 1, 0x83, 0xbf, 0x30, 1, 8];
/// The longest signature, and most certificates that come with one: each is tried.
const SIGNATURE_MAX: usize = 256 * 1024;
const CERTIFICATES_MAX: usize = 16;

/// What a certificate says of whoever has its key.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Identity {
    /// Its common name, and its alternative names that are mail addresses, DNS names or URIs.
    pub(super) names: Vec<String>,
    /// Who vouched for the identity (Fulcio).
    pub(super) issuer: Option<String>,
    not_before: u64,
}

/// The algorithms that are believed.
fn algorithms() -> &'static [&'static dyn SignatureVerificationAlgorithm] {
    static KNOWN: std::sync::LazyLock<rustls::crypto::WebPkiSupportedAlgorithms> =
        std::sync::LazyLock::new(|| {
            rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms
        });
    KNOWN.all
}

/// A message and the certificate whose key signed it.
pub(super) struct Signed<'a> {
    certificate: CertificateDer<'a>,
}

impl<'a> Signed<'a> {
    /// The certificate's key signed the message, with any algorithm that is believed; none where it did not.
    pub(super) fn verified(certificate: &'a [u8], message: &[u8], signature: &[u8]) -> Option<Self> {
        let certificate = CertificateDer::from(certificate);
        let parsed = EndEntityCert::try_from(&certificate).ok()?;
        let mut known = algorithms().iter();
        known.find(|algorithm| parsed.verify_signature(**algorithm, message, signature).is_ok())?;
        Some(Self { certificate })
    }

    /// Who signed, if an authority vouches for the certificate at a moment.
    pub(super) fn by(
        &self,
        others: &[Vec<u8>],
        authorities: &[CertificateDer<'static>],
        at: At,
    ) -> Option<Identity> {
        let parsed = EndEntityCert::try_from(&self.certificate).ok()?;
        let anchors: Vec<_> = authorities
            .iter()
            .filter_map(|authority| anchor_from_trusted_cert(authority).ok())
            .collect();
        let others: Vec<_> = others
            .iter()
            .map(|other| CertificateDer::from(other.as_slice()))
            .collect();
        let said = said(&self.certificate)?;
        let moment = match at {
            At::Begin => UnixTime::since_unix_epoch(Duration::from_secs(said.not_before)),
            At::Now => UnixTime::now(),
        };
        let usage = KeyUsage::required(CODE_SIGNING);
        parsed
            .verify_for_usage(algorithms(), &anchors, &others, moment, usage, None, None)
            .ok()?;
        Some(said)
    }
}

/// When a chain must hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum At {
    /// When the certificate began to hold: those of Fulcio live for minutes.
    Begin,
    /// Now.
    Now,
}

/// What a certificate says (RFC 5280, section 4.1). Believed only after its chain.
fn said(certificate: &[u8]) -> Option<Identity> {
    let whole = Der(certificate).next()?;
    let mut fields = whole.values().next()?.values().filter(|value| value.tag != 0xa0);
    let (_serial, _algorithm, _issuer) = (fields.next()?, fields.next()?, fields.next()?);
    let validity = fields.next()?;
    let subject = fields.next()?;
    let mut identity = Identity {
        not_before: moment(validity.values().next()?)?,
        ..Identity::default()
    };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    for attribute in subject.values().flat_map(Value::values) {
        let mut parts = attribute.values();
        if parts.next()?.inner == COMMON_NAME {
            identity
                .names
                .extend(parts.next().and_then(|value| text(value.inner)));
        }
    }
    let extensions = fields.find(|value| value.tag == 0xa3);
    for extension in extensions
        .into_iter()
        .flat_map(Value::values)
        .flat_map(Value::values)
    {
        let mut parts = extension.values();
        let (id, value) = (parts.next()?.inner, parts.last()?);
        if id == ALT_NAME {
            let names = Der(value.inner).next()?.values();
            // Mail, DNS and URI.
            let names = names.filter(|name| matches!(name.tag, 0x81 | 0x82 | 0x86));
            identity.names.extend(names.filter_map(|name| text(name.inner)));
        } else if id == FULCIO_ISSUER {
            identity.issuer = text(Der(value.inner).next()?.inner);
        }
    }
    Some(identity)
}

/// Verifies a detached CMS signature (RFC 5652) of one signer over `content`, and says whose it is. None where it is
/// nobody's that an authority vouches for now.
pub(super) fn detached(
    signature: &[u8],
    content: &[u8],
    authorities: &[CertificateDer<'static>],
) -> Option<Identity> {
    (signature.len() <= SIGNATURE_MAX).then_some(())?;
    let mut outer = Der(signature).next()?.values();
    (outer.next()?.inner == SIGNED_DATA).then_some(())?;
    let fields: Vec<Value<'_>> = outer.next()?.values().next()?.values().collect();
    let certificates = fields.iter().find(|value| value.tag == 0xa0)?;
    let certificates: Vec<Vec<u8>> = certificates.values().map(|one| one.whole.to_vec()).collect();
    (certificates.len() <= CERTIFICATES_MAX).then_some(())?;
    let mut signers = fields.last().filter(|value| value.tag == 0x31)?.values();
    let signer: Vec<Value<'_>> = signers.next()?.values().collect();
    if signers.next().is_some() {
        return None;
    }
    let [_version, _name, algorithm, rest @ ..] = signer.as_slice() else {
        return None;
    };
    (algorithm.values().next()?.inner == SHA256_OID).then_some(())?;
    let [attributes, _algorithm, value, ..] = rest else {
        return None;
    };
    // Without signed attributes the algorithm would be what the sender says.
    (attributes.tag == 0xa0 && value.tag == 4).then_some(())?;
    let mut digests = attributes.values().filter_map(|attribute| {
        let mut parts = attribute.values();
        (parts.next()?.inner == MESSAGE_DIGEST).then(|| parts.next()?.values().next())?
    });
    let said = digests.next()?;
    if digests.next().is_some() || said.inner != digest(&SHA256, content).as_ref() {
        return None;
    }
    // What is signed is the set itself (section 5.4).
    let mut signed = attributes.whole.to_vec();
    *signed.first_mut()? = 0x31;
    let own = certificates
        .iter()
        .find_map(|certificate| Signed::verified(certificate, &signed, value.inner))?;
    own.by(&certificates, authorities, At::Now)
}

#[cfg(test)]
mod tests {
    use super::{detached, said};

    /// Whatever comes in, nothing but a refusal comes out.
    #[test]
    fn what_is_no_der_is_nothing() {
        for bytes in [
            &b""[..],
            b"\x30",
            b"\x30\x80\x00\x00",
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\x89\x01\x01\x01\x01\x01\x01\x01\x01\x01",
            b"\x3f\x01\x00",
            b"\x30\x03\x30\x05\x00",
        ] {
            assert!(said(bytes).is_none());
            assert!(detached(bytes, b"", &[]).is_none());
        }
    }
}
