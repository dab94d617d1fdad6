//! Who made a package: attestations (Sigstore bundles, PEP 740) and signatures of bundles, against the publishers that
//! configuration names.
//!
//! Checked: the signature, the certificate's chain to the configured authority, its identity, and that the statement is
//! about these bytes. Not checked: that a transparency log has it, and so not when it was signed either; a key that is
//! stolen after its certificate ended still signs. docs/supply-chain.md says the same.

use std::path::{Path, PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use policy::registry::Glob;
use records::digest::hex;
use rustls::pki_types::CertificateDer;
use serde_json::Value;

use super::{
    Locked, Refused,
    meaning::Meaning,
    pypi::normal,
    signed::{self, At, Identity, Signed},
};

/// What a statement of in-toto is.
const STATEMENTS: [&str; 2] = [
    "https://in-toto.io/Statement/v1",
    "https://in-toto.io/Statement/v0.1",
];
/// What it must say: how something was built (SLSA), or that a registry's publisher uploaded it.
const PREDICATES: [&str; 2] = [
    "https://slsa.dev/provenance/v1",
    "https://docs.pypi.org/attestations/publish/v1",
];
const PAYLOAD: &str = "application/vnd.in-toto+json";
/// The longest attestation.
const BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Most attestations in a file that are looked at.
const EACH_MAX: usize = 64;

/// Whoever has to have made certain packages.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Publisher {
    /// The packages, by name.
    packages: Vec<Glob>,
    /// Whose word on identities is taken.
    authorities: Vec<CertificateDer<'static>>,
    /// Who it is, as the certificate names it.
    identity: Glob,
    /// Who vouched for the identity, for certificates of Fulcio.
    issuer: Option<String>,
}

/// What is known of provenance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Provenance {
    /// Who has to have made what.
    pub(crate) publishers: Vec<Publisher>,
    /// A folder of attestations.
    pub(crate) attestations: Option<PathBuf>,
}

impl Provenance {
    /// Who has to have made a package. None: anybody.
    fn publisher(&self, name: &str) -> Option<&Publisher> {
        // As PyPI compares names: who writes one otherwise gets the same package.
        let name = normal(name);
        let named = |publisher: &&Publisher| publisher.packages.iter().any(|glob| glob.matches(&name));
        self.publishers.iter().find(named)
    }

    /// What is started without being fetched first cannot be proven: refused where somebody has to have made it.
    pub(super) fn may_be_unproven(&self, meaning: &Meaning) -> Result<(), Refused> {
        let name = match meaning {
            Meaning::Package(request) => &request.name,
            Meaning::Image(image) => image.split('@').next().unwrap_or(image),
            Meaning::Bundle(_)
            | Meaning::Floating(_)
            | Meaning::Module(_)
            | Meaning::Program
            | Meaning::Script(_) => return Ok(()),
        };
        match (self.publisher(name), meaning) {
            (None, _) => Ok(()),
            (Some(_), Meaning::Image(_)) => Err(Refused::other(format!(
                "`{name}` must be of the publisher that is configured, and signatures of images are not verified"
            ))),
            (Some(_), _) => Err(Refused::other(format!(
                "`{name}` must be of the publisher that is configured: `sallyport server approve` without \
                 `--as-found` proves it"
            ))),
        }
    }

    /// Who made a package, where somebody in particular has to.
    pub(super) fn of_package(&self, package: &Locked) -> Result<Option<String>, Refused> {
        let Some(publisher) = self.publisher(&package.name) else {
            return Ok(None);
        };
        let Some(folder) = &self.attestations else {
            return Err(Refused::other(format!(
                "`{}` must be attested, and `registry.attestations` names no folder of attestations",
                package.name
            )));
        };
        let digests = digests(package);
        let mut seen = 0_usize;
        for text in attestations(folder)? {
            for attested in Attested::read(&text) {
                if attested.is_about(&digests) {
                    seen += 1;
                    if let Some(who) = publisher.made(&attested) {
                        return Ok(Some(who));
                    }
                }
            }
        }
        Err(Refused::other(match seen {
            0 => format!(
                "`{}` {} must be attested, and no attestation in `{}` is about its bytes",
                package.name,
                package.version,
                folder.display()
            ),
            _ => format!(
                "`{}` {} is attested, but not by the publisher that is configured",
                package.name, package.version
            ),
        }))
    }

    /// Who signed a bundle of MCPB, where somebody in particular has to. A bundle says its own name, so the name of its
    /// file counts as well: another one in its place cannot say that it is nobody's.
    pub(super) fn of_bundle(
        &self,
        name: &str,
        file: &str,
        content: &[u8],
        signature: Option<&[u8]>,
    ) -> Result<Option<String>, Refused> {
        let mut who = None;
        for publisher in [file, name].into_iter().filter_map(|name| self.publisher(name)) {
            let Some(signature) = signature else {
                return Err(Refused::other(format!(
                    "the bundle `{name}` must be signed, and is not"
                )));
            };
            let identity = signed::detached(signature, content, &publisher.authorities);
            who = identity.and_then(|identity| publisher.is(&identity));
            if who.is_none() {
                return Err(Refused::other(format!(
                    "the signature of the bundle `{name}` is not that of the publisher that is configured"
                )));
            }
        }
        Ok(who)
    }
}

impl Publisher {
    /// Names of packages are patterns, and so is the identity.
    pub(crate) fn new(
        packages: &[String],
        authorities: Vec<CertificateDer<'static>>,
        identity: &str,
        issuer: Option<String>,
    ) -> Self {
        Self {
            packages: packages
                .iter()
                .map(|pattern| Glob::new(normal(pattern)))
                .collect(),
            authorities,
            identity: Glob::new(identity),
            issuer,
        }
    }

    fn is(&self, identity: &Identity) -> Option<String> {
        if self.issuer.is_some() && self.issuer != identity.issuer {
            return None;
        }
        identity
            .names
            .iter()
            .find(|name| self.identity.matches(name))
            .cloned()
    }

    fn made(&self, attested: &Attested) -> Option<String> {
        let head = format!("DSSEv1 {} {PAYLOAD} {} ", PAYLOAD.len(), attested.payload.len());
        let message = [head.as_bytes(), &attested.payload].concat();
        let signed = Signed::verified(&attested.certificate, &message, &attested.signature)?;
        self.is(&signed.by(&attested.others, &self.authorities, At::Begin)?)
    }
}

/// An attestation: a Sigstore bundle (0.1 to 0.3), or one of PEP 740.
struct Attested {
    payload: Vec<u8>,
    signature: Vec<u8>,
    certificate: Vec<u8>,
    others: Vec<Vec<u8>>,
    statement: Value,
}

impl Attested {
    /// Those of a file: one by itself, or as npm (`/-/npm/v1/attestations/NAME@VERSION`) and PyPI
    /// (`/integrity/NAME/VERSION/FILE/provenance`) give them out together.
    fn read(text: &[u8]) -> Vec<Self> {
        let Ok(root) = serde_json::from_slice::<Value>(text) else {
            return Vec::new();
        };
        let list = |value: &Value, member: &str| {
            let values = value.get(member).and_then(Value::as_array);
            values.cloned().unwrap_or_default()
        };
        let mut found: Vec<Value> = list(&root, "attestation_bundles")
            .iter()
            .flat_map(|bundle| list(bundle, "attestations"))
            .collect();
        found.extend(
            list(&root, "attestations")
                .iter()
                .filter_map(|one| one.get("bundle").cloned()),
        );
        found.push(root);
        found.iter().take(EACH_MAX).filter_map(Self::one).collect()
    }

    fn one(root: &Value) -> Option<Self> {
        let decode = |pointer: &str| STANDARD.decode(root.pointer(pointer)?.as_str()?).ok();
        let (payload, signature, certificates) = if root.get("envelope").is_some() {
            let certificate = decode("/verification_material/certificate")?;
            (
                decode("/envelope/statement")?,
                decode("/envelope/signature")?,
                vec![certificate],
            )
        } else {
            let envelope = root.get("dsseEnvelope")?;
            (envelope.get("payloadType")?.as_str()? == PAYLOAD).then_some(())?;
            (envelope.get("signatures")?.as_array()?.len() == 1).then_some(())?;
            let chain = root.pointer("/verificationMaterial/x509CertificateChain/certificates");
            let certificates = match decode("/verificationMaterial/certificate/rawBytes") {
                Some(one) => vec![one],
                None => chain?
                    .as_array()?
                    .iter()
                    .map(|one| STANDARD.decode(one.get("rawBytes")?.as_str()?).ok())
                    .collect::<Option<_>>()?,
            };
            (
                decode("/dsseEnvelope/payload")?,
                decode("/dsseEnvelope/signatures/0/sig")?,
                certificates,
            )
        };
        let (certificate, others) = certificates.split_first()?;
        let statement: Value = serde_json::from_slice(&payload).ok()?;
        let is_one = |member: &str, of: &[&str]| {
            let said = statement.get(member).and_then(Value::as_str);
            said.is_some_and(|said| of.contains(&said))
        };
        let known = is_one("_type", &STATEMENTS) && is_one("predicateType", &PREDICATES);
        known.then(|| Self {
            certificate: certificate.clone(),
            others: others.to_vec(),
            payload,
            signature,
            statement,
        })
    }

    /// Whether the statement is about bytes with one of these digests.
    fn is_about(&self, digests: &[(&str, String)]) -> bool {
        let subjects = self.statement.get("subject").and_then(Value::as_array);
        subjects.into_iter().flatten().any(|subject| {
            digests.iter().any(|(algorithm, hex)| {
                let said = subject.get("digest").and_then(|digest| digest.get(algorithm));
                said.and_then(Value::as_str)
                    .is_some_and(|said| said.eq_ignore_ascii_case(hex))
            })
        })
    }
}

/// The strong digests of a lock, in hexadecimal.
fn digests(package: &Locked) -> Vec<(&'static str, String)> {
    let known = |integrity: &String| {
        if let Some(value) = integrity.strip_prefix("sha512-") {
            return Some(("sha512", hex(&STANDARD.decode(value).ok()?)));
        }
        Some(("sha256", integrity.strip_prefix("sha256:")?.to_owned()))
    };
    package.integrity.iter().filter_map(known).collect()
}

/// The attestations in a folder, in the order of their names.
fn attestations(folder: &Path) -> Result<Vec<Vec<u8>>, Refused> {
    let bad = |error: std::io::Error| Refused::unreadable(folder, &error);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(bad)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    let short = paths
        .iter()
        .filter(|path| path.metadata().is_ok_and(|found| found.len() <= BYTES_MAX));
    short.map(|path| std::fs::read(path).map_err(bad)).collect()
}
