//! Keys: ours to sign with, and public ones to check with (RFC 7517, RFC 7638, RFC 8037).

use std::{borrow::Cow, fmt};

use aws_lc_rs::{
    error::Unspecified,
    signature::{self, Ed25519KeyPair, KeyPair, RsaPublicKeyComponents, UnparsedPublicKey},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use wire::json::{Node, ObjectWriter};

use crate::secret::sha256;

/// Signature algorithms accepted. Asymmetric only: a shared key would let every verifier mint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Algorithm {
    /// Ed25519.
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// RSA-PSS with SHA-256.
    Ps256,
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::EdDsa, Self::Es256, Self::Es384, Self::Ps256, Self::Rs256];

    /// The name in `alg`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Ps256 => "PS256",
            Self::Rs256 => "RS256",
        }
    }

    /// Reads a name; exact, since `none` has many spellings and so have mistakes.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

/// A public key for one algorithm.
#[derive(Clone, Eq, PartialEq)]
pub struct PublicKey {
    id: String,
    thumbprint: String,
    algorithm: Algorithm,
    material: Material,
}

#[derive(Clone, Eq, PartialEq)]
enum Material {
    /// An Ed25519 key, or an uncompressed elliptic curve point.
    Point(Vec<u8>),
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
}

impl PublicKey {
    /// The public half of an Ed25519 key of ours that signs no more.
    #[must_use]
    pub fn of_earlier(public: &[u8]) -> Self {
        let thumbprint = thumbprint_of_ed25519(public);
        Self {
            id: thumbprint.clone(),
            thumbprint,
            algorithm: Algorithm::EdDsa,
            material: Material::Point(public.to_vec()),
        }
    }

    /// Reads a JSON Web Key. None for keys we cannot or will not use: symmetric ones, private ones, keys
    /// for encryption, RSA below 2,048 bits.
    #[must_use]
    pub fn read(jwk: Node<'_>) -> Option<Self> {
        Self::read_for(jwk, Algorithm::Rs256)
    }

    /// Reads a JSON Web Key; an RSA key that does not say what it is for is for `rsa`.
    pub(super) fn read_for(jwk: Node<'_>, rsa: Algorithm) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Node::as_str);
        let bytes = |name: &str| text(name).and_then(|t| URL_SAFE_NO_PAD.decode(t.as_bytes()).ok());
        if jwk.get("d").is_some() || text("use").is_some_and(|usage| usage != "sig") {
            return None;
        }
        let (algorithm, material) = match (text("kty")?.as_ref(), text("crv").as_deref()) {
            ("OKP", Some("Ed25519")) => (Algorithm::EdDsa, Material::Point(sized(bytes("x")?, 32)?)),
            ("EC", Some("P-256")) => (Algorithm::Es256, point(bytes("x")?, bytes("y")?, 32)?),
            ("EC", Some("P-384")) => (Algorithm::Es384, point(bytes("x")?, bytes("y")?, 48)?),
            ("RSA", _) => {
                let modulus = bytes("n")?;
                if modulus.len() < 256 || modulus.len() > 1024 {
                    return None;
                }
                let pss = text("alg").map_or(rsa == Algorithm::Ps256, |alg| alg == "PS256");
                let algorithm = if pss { Algorithm::Ps256 } else { Algorithm::Rs256 };
                (
                    algorithm,
                    Material::Rsa {
                        modulus,
                        exponent: bytes("e")?,
                    },
                )
            }
            _ => return None,
        };
        if text("alg").is_some_and(|alg| alg != algorithm.as_str()) {
            return None;
        }
        let thumbprint = thumbprint(jwk)?;
        Some(Self {
            id: text("kid").map_or_else(|| thumbprint.clone(), Cow::into_owned),
            thumbprint,
            algorithm,
            material,
        })
    }

    /// The key's name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The one algorithm it is for.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its thumbprint (RFC 7638): the same whatever it is called.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// Writes it as a JSON Web Key.
    fn write(&self, out: &mut ObjectWriter<'_>) {
        let mut bytes = |name: &str, bytes: &[u8]| out.string(name, &URL_SAFE_NO_PAD.encode(bytes));
        let (kty, crv) = match (&self.material, self.algorithm) {
            (Material::Rsa { modulus, exponent }, _) => {
                bytes("n", modulus);
                bytes("e", exponent);
                ("RSA", None)
            }
            (Material::Point(x), Algorithm::EdDsa) => {
                bytes("x", x);
                ("OKP", Some("Ed25519"))
            }
            (Material::Point(point), algorithm) => {
                let coordinates = point.get(1..).unwrap_or_default();
                let (x, y) = coordinates.split_at(coordinates.len() / 2);
                bytes("x", x);
                bytes("y", y);
                let is_384 = algorithm == Algorithm::Es384;
                ("EC", Some(if is_384 { "P-384" } else { "P-256" }))
            }
        };
        out.string("kty", kty);
        if let Some(crv) = crv {
            out.string("crv", crv);
        }
        out.string("alg", self.algorithm.as_str());
        out.string("kid", &self.id);
    }

    /// Checks a signature.
    ///
    /// # Errors
    /// When the signature is not this key's over this message.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Unspecified> {
        match (&self.material, self.algorithm) {
            (Material::Point(key), Algorithm::EdDsa) => {
                UnparsedPublicKey::new(&signature::ED25519, key).verify(message, signature)
            }
            (Material::Point(key), Algorithm::Es256) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, key).verify(message, signature)
            }
            (Material::Point(key), Algorithm::Es384) => {
                UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, key).verify(message, signature)
            }
            (Material::Rsa { modulus, exponent }, Algorithm::Rs256) => RsaPublicKeyComponents {
                n: modulus,
                e: exponent,
            }
            .verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, signature),
            (Material::Rsa { modulus, exponent }, Algorithm::Ps256) => RsaPublicKeyComponents {
                n: modulus,
                e: exponent,
            }
            .verify(&signature::RSA_PSS_2048_8192_SHA256, message, signature),
            (Material::Point(_), Algorithm::Ps256 | Algorithm::Rs256)
            | (Material::Rsa { .. }, Algorithm::EdDsa | Algorithm::Es256 | Algorithm::Es384) => {
                Err(Unspecified)
            }
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.algorithm.as_str(), self.id)
    }
}

fn sized(bytes: Vec<u8>, length: usize) -> Option<Vec<u8>> {
    (bytes.len() == length).then_some(bytes)
}

fn point(x: Vec<u8>, y: Vec<u8>, length: usize) -> Option<Material> {
    let (x, y) = (sized(x, length)?, sized(y, length)?);
    Some(Material::Point([vec![4], x, y].concat()))
}

/// The thumbprint of a key (RFC 7638): SHA-256 over its required members in canonical JSON.
#[must_use]
pub fn thumbprint(jwk: Node<'_>) -> Option<String> {
    let text = |name: &str| jwk.get(name).and_then(Node::as_str);
    let members: &[&str] = match text("kty")?.as_ref() {
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        "RSA" => &["e", "kty", "n"],
        _ => return None,
    };
    let values: Option<Vec<_>> = members.iter().map(|name| text(name)).collect();
    let canonical = wire::json::object(|out| {
        for (name, value) in members.iter().zip(values.into_iter().flatten()) {
            out.string(name, &value);
        }
    });
    Some(URL_SAFE_NO_PAD.encode(sha256(&canonical)))
}

/// A set of public keys, as an issuer publishes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeySet {
    keys: Vec<PublicKey>,
}

/// The most keys read from one set.
const KEYS_MAX: usize = 64;

impl KeySet {
    /// Reads a JWK Set; keys we cannot use are passed over.
    #[must_use]
    pub fn read(jwks: Node<'_>) -> Option<Self> {
        let keys = jwks.get("keys")?;
        Some(Self {
            keys: keys
                .elements()
                .take(KEYS_MAX)
                .filter_map(PublicKey::read)
                .collect(),
        })
    }

    /// A set of these keys.
    #[must_use]
    pub fn of(keys: Vec<PublicKey>) -> Self {
        Self { keys }
    }

    /// Writes it as a JWK Set.
    pub fn write(&self, out: &mut ObjectWriter<'_>) {
        out.array("keys", |list| {
            for key in &self.keys {
                list.object(|out| key.write(out));
            }
        });
    }

    /// Whether every key of the other set is in this one.
    #[must_use]
    pub fn has_all_of(&self, other: &Self) -> bool {
        other.keys.iter().all(|key| self.keys.contains(key))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key of that exact name.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&PublicKey> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// The key of that exact name or thumbprint.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&PublicKey> {
        let mut keys = self.keys.iter();
        self.find(name)
            .or_else(|| keys.find(|key| key.thumbprint() == name))
    }

    /// The key of an algorithm, if only one is of it.
    pub(super) fn only(&self, algorithm: Algorithm) -> Option<&PublicKey> {
        let mut fitting = self.keys.iter().filter(|key| key.algorithm == algorithm);
        fitting.next().filter(|_| fitting.next().is_none())
    }
}

/// A key of ours to sign with: Ed25519.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    id: String,
}

impl SigningKey {
    /// Takes a key from its 32-byte seed.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let id = thumbprint_of_ed25519(pair.public_key().as_ref());
        Some(Self { pair, id })
    }

    /// The key's name: its thumbprint.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey {
            id: self.id.clone(),
            thumbprint: self.id.clone(),
            algorithm: Algorithm::EdDsa,
            material: Material::Point(self.pair.public_key().as_ref().to_vec()),
        }
    }

    /// Writes the public half as a JSON Web Key.
    pub fn write_jwk(&self, out: &mut ObjectWriter<'_>) {
        out.string("kty", "OKP");
        out.string("crv", "Ed25519");
        out.string("alg", Algorithm::EdDsa.as_str());
        out.string("use", "sig");
        out.string("kid", &self.id);
        out.string("x", &URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref()));
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

/// The name of an Ed25519 key (RFC 7638, RFC 8037).
fn thumbprint_of_ed25519(public: &[u8]) -> String {
    let x = URL_SAFE_NO_PAD.encode(public);
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(sha256(canonical.as_bytes()))
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

#[cfg(test)]
impl SigningKey {
    /// Signs anything, so that tests can forge what only the key's owner could.
    pub(crate) fn sign_for_tests(&self, message: &[u8]) -> Vec<u8> {
        self.sign(message)
    }
}
