//! A certificate authority of the gateway's own, for those who have none: `certificate: development`.
//!
//! Its key is in the sealed tables; what is to be believed is written beside the data. It issues a new certificate
//! whenever the gateway starts and every 24 hours, for the names under which the gateway is called then.

use std::{net::IpAddr, path::Path};

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use upstream::OwnCertificate;

use super::der::{self, SEQUENCE, oid};
use crate::{ambient::Ambient, storage::store::Store};

/// The file in the data directory that clients are told to believe.
pub(crate) const AUTHORITY: &str = "development-ca.pem";

/// Where the authority is kept.
const TABLE: &str = "development-authority";
const CERTIFICATE: &str = "certificate";
const KEY: &str = "key";

const DAY_S: i64 = 86_400;
const AUTHORITY_DAYS: i64 = 3_650;
/// Clients accept no longer ones (CA/Browser Forum ballot SC-081 goes down to 47 days by 2029); the gateway makes
/// another at each start, and every 24 hours.
const CERTIFICATE_DAYS: i64 = 90;

/// See the module.
#[derive(Debug)]
pub(crate) struct Authority {
    key: EcdsaKeyPair,
    certificate: Vec<u8>,
    name: Vec<u8>,
    names: Vec<String>,
    now_s: i64,
    ambient: Ambient,
}

impl Authority {
    /// Opens the authority of a data directory, or founds it, and writes down what is to be believed.
    pub(crate) fn open(
        store: &Store,
        data: &Path,
        names: Vec<String>,
        ambient: &Ambient,
    ) -> Result<Self, String> {
        let now_s = ambient.now_ms().div_euclid(1000);
        let kept = |name| store.get(TABLE, name).map_err(|error| error.to_string());
        let name = common_name("Sallyport development CA");
        let (key, certificate) = match (kept(KEY)?, kept(CERTIFICATE)?) {
            (Some(key), Some(certificate)) => (pair(&key)?, certificate),
            (_, _) => {
                let (key, pkcs8) = new_pair()?;
                let template = Template {
                    issuer: &name,
                    subject: &name,
                    days: AUTHORITY_DAYS,
                    authority: key_id(&key),
                    extensions: authority_extensions(),
                };
                let certificate = template.signed(&key, &key, now_s, ambient)?;
                store
                    .put(TABLE, CERTIFICATE, &certificate)
                    .map_err(|e| e.to_string())?;
                store.put(TABLE, KEY, &pkcs8).map_err(|e| e.to_string())?;
                (key, certificate)
            }
        };
        let path = data.join(AUTHORITY);
        std::fs::write(&path, pem(&certificate)).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self {
            key,
            certificate,
            name,
            names,
            now_s,
            ambient: ambient.clone(),
        })
    }

    /// A new key, and a certificate for it in the gateway's names.
    pub(crate) fn issue(&self) -> Result<OwnCertificate, String> {
        let (key, pkcs8) = new_pair()?;
        let template = Template {
            issuer: &self.name,
            subject: &common_name("Sallyport"),
            days: CERTIFICATE_DAYS,
            authority: key_id(&self.key),
            extensions: server_extensions(&self.names),
        };
        let certificate = template.signed(&key, &self.key, self.now_s, &self.ambient)?;
        Ok(OwnCertificate {
            chain: vec![
                CertificateDer::from(certificate),
                CertificateDer::from(self.certificate.clone()),
            ],
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8)),
        })
    }
}

/// What an authority is shown that asks for a name: a certificate for it that has the digest of what both know
/// (RFC 8737 section 3).
pub(super) fn challenge(name: &str, known: &[u8], ambient: &Ambient) -> Result<OwnCertificate, String> {
    let (key, pkcs8) = new_pair()?;
    let own = common_name("Sallyport");
    let mut extensions = server_extensions(&[name.to_owned()]);
    let known = der::value(der::OCTET_STRING, known);
    extensions.push(extension(oid::ACME_IDENTIFIER, true, &known));
    let template = Template {
        issuer: &own,
        subject: &own,
        days: 1,
        authority: key_id(&key),
        extensions,
    };
    let now_s = ambient.now_ms().div_euclid(1000);
    let certificate = template.signed(&key, &key, now_s, ambient)?;
    Ok(OwnCertificate {
        chain: vec![CertificateDer::from(certificate)],
        key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8)),
    })
}

/// What a certificate says (RFC 5280 section 4.1).
struct Template<'t> {
    issuer: &'t [u8],
    subject: &'t [u8],
    days: i64,
    authority: Vec<u8>,
    extensions: Vec<Vec<u8>>,
}

impl Template<'_> {
    fn signed(
        self,
        key: &EcdsaKeyPair,
        authority: &EcdsaKeyPair,
        now_s: i64,
        ambient: &Ambient,
    ) -> Result<Vec<u8>, String> {
        let algorithm = der::list(SEQUENCE, &[der::object(oid::ECDSA_WITH_SHA256)]);
        // Positive, and its first byte not zero.
        let mut serial = ambient.bytes::<16>();
        if let Some(first) = serial.first_mut() {
            *first = (*first & 0x3F) | 0x40;
        }
        // Clocks differ a little.
        let validity = [der::time(now_s - 3600), der::time(now_s + self.days * DAY_S)];
        let mut extensions = self.extensions;
        let own = der::value(der::OCTET_STRING, &key_id(key));
        extensions.push(extension(oid::SUBJECT_KEY_ID, false, &own));
        let authority_id = der::list(SEQUENCE, &[der::value(0x80, &self.authority)]);
        extensions.push(extension(oid::AUTHORITY_KEY_ID, false, &authority_id));
        let to_be_signed = der::list(
            SEQUENCE,
            &[
                // Version 3.
                der::value(0xA0, &der::value(der::INTEGER, &[2])),
                der::value(der::INTEGER, &serial),
                algorithm.clone(),
                self.issuer.to_vec(),
                der::list(SEQUENCE, &validity),
                self.subject.to_vec(),
                public_key(key),
                der::value(0xA3, &der::list(SEQUENCE, &extensions)),
            ],
        );
        let signature = authority
            .sign(&SystemRandom::new(), &to_be_signed)
            .map_err(|_| "a certificate cannot be signed")?;
        Ok(der::list(
            SEQUENCE,
            &[to_be_signed, algorithm, der::bits(signature.as_ref())],
        ))
    }
}

fn authority_extensions() -> Vec<Vec<u8>> {
    let is_one = der::list(
        SEQUENCE,
        // It issues to servers, and to no further authority.
        &[der::value(der::BOOLEAN, &[0xFF]), der::value(der::INTEGER, &[0])],
    );
    vec![
        extension(oid::BASIC_CONSTRAINTS, true, &is_one),
        // keyCertSign, cRLSign.
        extension(oid::KEY_USAGE, true, &der::value(der::BIT_STRING, &[1, 0x06])),
    ]
}

fn server_extensions(names: &[String]) -> Vec<Vec<u8>> {
    let names: Vec<Vec<u8>> = names
        .iter()
        .map(|name| match name.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => der::value(0x87, &address.octets()),
            Ok(IpAddr::V6(address)) => der::value(0x87, &address.octets()),
            Err(_) => der::value(0x82, name.as_bytes()),
        })
        .collect();
    vec![
        extension(oid::BASIC_CONSTRAINTS, true, &der::list(SEQUENCE, &[])),
        // digitalSignature.
        extension(oid::KEY_USAGE, true, &der::value(der::BIT_STRING, &[7, 0x80])),
        extension(
            oid::EXTENDED_KEY_USAGE,
            false,
            &der::list(SEQUENCE, &[der::object(oid::SERVER_AUTH)]),
        ),
        extension(oid::SUBJECT_ALT_NAME, false, &der::list(SEQUENCE, &names)),
    ]
}

fn extension(id: &[u8], critical: bool, content: &[u8]) -> Vec<u8> {
    let mut parts = vec![der::object(id)];
    if critical {
        parts.push(der::value(der::BOOLEAN, &[0xFF]));
    }
    parts.push(der::value(der::OCTET_STRING, content));
    der::list(SEQUENCE, &parts)
}

fn common_name(name: &str) -> Vec<u8> {
    let name = der::value(der::UTF8_STRING, name.as_bytes());
    let pair = der::list(SEQUENCE, &[der::object(oid::COMMON_NAME), name]);
    der::list(SEQUENCE, &[der::list(der::SET, &[pair])])
}

fn public_key(key: &EcdsaKeyPair) -> Vec<u8> {
    let algorithm = [der::object(oid::EC_PUBLIC_KEY), der::object(oid::PRIME256V1)];
    let point = der::bits(key.public_key().as_ref());
    der::list(SEQUENCE, &[der::list(SEQUENCE, &algorithm), point])
}

/// Names a key: the first 20 bytes of its SHA-256 (RFC 7093 section 2).
fn key_id(key: &EcdsaKeyPair) -> Vec<u8> {
    let digest = digest(&SHA256, key.public_key().as_ref());
    digest.as_ref().iter().take(20).copied().collect()
}

fn new_pair() -> Result<(EcdsaKeyPair, Vec<u8>), String> {
    let unable = |_| "a key cannot be made".to_owned();
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(unable)?;
    let pkcs8 = pair.to_pkcs8v1().map_err(unable)?.as_ref().to_vec();
    Ok((pair, pkcs8))
}

fn pair(pkcs8: &[u8]) -> Result<EcdsaKeyPair, String> {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8)
        .map_err(|error| format!("the development authority's key cannot be used: {error}"))
}

fn pem(certificate: &[u8]) -> String {
    let text = STANDARD.encode(certificate);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}
