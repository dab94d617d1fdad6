//! What a client signs: assertions of who it is (RFC 7523) and proofs that it has its key (RFC 9449). The other end of
//! [`crate::proof`]; nothing here checks anything.

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeyPair as RsaKeyPair,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
        KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use thiserror::Error;
use wire::json::{ObjectWriter, object};
use zeroize::Zeroizing;

use crate::{
    jose::Algorithm,
    secret::{Secret, sha256},
};

/// How long an assertion is good, in seconds.
const ASSERTION_S: i64 = 60;

/// A private key of a client.
pub struct ClientKey {
    pair: Pair,
    pkcs8: Zeroizing<Vec<u8>>,
}

/// The public half of a key, as a JSON Web Key has it.
pub(crate) enum PublicHalf {
    Ed25519(String),
    Ecdsa {
        curve: &'static str,
        x: String,
        y: String,
    },
}

impl PublicHalf {
    /// The members that make the key, in the order of their names.
    pub(crate) fn write(&self, out: &mut ObjectWriter<'_>) {
        match self {
            Self::Ed25519(x) => {
                out.string("crv", "Ed25519");
                out.string("kty", "OKP");
                out.string("x", x);
            }
            Self::Ecdsa { curve, x, y } => {
                out.string("crv", curve);
                out.string("kty", "EC");
                out.string("x", x);
                out.string("y", y);
            }
        }
    }
}

enum Pair {
    Ed25519(Box<Ed25519KeyPair>),
    P256(Box<EcdsaKeyPair>),
    P384(Box<EcdsaKeyPair>),
    Rsa(Box<RsaKeyPair>),
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ClientKeyError {
    /// It is no private key in PEM.
    #[error("it is no private key in PEM (PKCS #8, SEC 1 or PKCS #1)")]
    Pem,
    /// Of a kind that is not used.
    #[error("the key is none of Ed25519, P-256, P-384 and RSA of 2,048 bits or more")]
    Kind,
    /// It cannot sign.
    #[error("the key cannot sign")]
    Sign,
}

/// What an assertion says.
#[derive(Clone, Copy, Debug)]
pub struct Assertion<'a> {
    /// The client, which is issuer and subject.
    pub client: &'a str,
    /// The authorization server's issuer identifier.
    pub audience: &'a str,
    /// A name never used before.
    pub id: &'a str,
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
    /// The key's name at the authorization server, where it has one.
    pub key_id: Option<&'a str>,
    /// The algorithm, where the key has a choice.
    pub algorithm: Option<Algorithm>,
}

/// The request a proof is made for.
#[derive(Clone, Copy, Debug)]
pub struct Proving<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its URL; a query and a fragment are left out.
    pub url: &'a str,
    /// The token it uses; none where it asks for one.
    pub token: Option<&'a Secret>,
    /// What the server wants to find in the proof.
    pub nonce: Option<&'a str>,
    /// A name never used before.
    pub id: &'a str,
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
}

impl ClientKey {
    /// Reads a key in PEM.
    ///
    /// # Errors
    /// When it is none, or none that is used.
    pub fn from_pem(text: &str) -> Result<Self, ClientKeyError> {
        let der = der(text).ok_or(ClientKeyError::Pem)?;
        Self::from_der(der)
    }

    /// Reads a key in DER, as [`ClientKey::to_der`] gives it.
    ///
    /// # Errors
    /// When it is none that is used.
    pub fn from_der(der: Vec<u8>) -> Result<Self, ClientKeyError> {
        let pkcs8 = Zeroizing::new(der);
        let rsa = |pair: RsaKeyPair| (pair.public_modulus_len() >= 256).then(|| Pair::Rsa(Box::new(pair)));
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8)
            .map(|pair| Pair::Ed25519(Box::new(pair)))
            .ok()
            .or_else(|| ecdsa(&pkcs8))
            .or_else(|| RsaKeyPair::from_pkcs8(&pkcs8).ok().and_then(rsa))
            .or_else(|| RsaKeyPair::from_der(&pkcs8).ok().and_then(rsa));
        Ok(Self {
            pair: pair.ok_or(ClientKeyError::Kind)?,
            pkcs8,
        })
    }

    /// A new key on P-256, which every server knows.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate() -> Result<Self, ClientKeyError> {
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let made = made.map_err(|_| ClientKeyError::Sign)?;
        Self::from_der(made.as_ref().to_vec())
    }

    /// The key itself, to be sealed.
    #[must_use]
    pub fn to_der(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The algorithm it signs with unless told otherwise.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Ed25519(_) => Algorithm::EdDsa,
            Pair::P256(_) => Algorithm::Es256,
            Pair::P384(_) => Algorithm::Es384,
            Pair::Rsa(_) => Algorithm::Rs256,
        }
    }

    /// Whether it can sign with an algorithm.
    #[must_use]
    pub fn can(&self, algorithm: Algorithm) -> bool {
        algorithm == self.algorithm() || (algorithm == Algorithm::Ps256 && matches!(self.pair, Pair::Rsa(_)))
    }

    /// Signs an assertion of who the client is (RFC 7523 section 3).
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn assertion(&self, says: &Assertion<'_>) -> Result<String, ClientKeyError> {
        let issued = says.now_ms.div_euclid(1000);
        let claims = object(|out| {
            out.string("iss", says.client);
            out.string("sub", says.client);
            out.string("aud", says.audience);
            out.integer("iat", issued);
            out.integer("exp", issued + ASSERTION_S);
            out.string("jti", says.id);
        });
        let algorithm = says
            .algorithm
            .filter(|algorithm| self.can(*algorithm))
            .unwrap_or_else(|| self.algorithm());
        self.sign(algorithm, &claims, |header| {
            header.string("typ", "JWT");
            if let Some(id) = says.key_id {
                header.string("kid", id);
            }
        })
    }

    /// Signs a proof for one request (RFC 9449 section 4.2).
    ///
    /// # Errors
    /// When the key cannot sign, or has no public half to show.
    pub fn proof(&self, of: &Proving<'_>) -> Result<String, ClientKeyError> {
        if !matches!(self.pair, Pair::P256(_) | Pair::P384(_)) {
            return Err(ClientKeyError::Kind);
        }
        let claims = object(|out| {
            out.string("jti", of.id);
            out.string("htm", of.method);
            out.string("htu", of.url.split(['?', '#']).next().unwrap_or_default());
            out.integer("iat", of.now_ms.div_euclid(1000));
            if let Some(token) = of.token {
                out.string("ath", &URL_SAFE_NO_PAD.encode(sha256(token.expose().as_bytes())));
            }
            if let Some(nonce) = of.nonce {
                out.string("nonce", nonce);
            }
        });
        let public = self.public_half()?;
        self.sign(self.algorithm(), &claims, |header| {
            header.string("typ", "dpop+jwt");
            header.object("jwk", |jwk| public.write(jwk));
        })
    }

    /// The name of the key: the thumbprint of its public half (RFC 7638).
    ///
    /// # Errors
    /// When it has no public half to show.
    pub fn thumbprint(&self) -> Result<String, ClientKeyError> {
        let public = self.public_half()?;
        // The members in the order of their names, which is the form that is digested.
        let canonical = object(|out| public.write(out));
        Ok(URL_SAFE_NO_PAD.encode(sha256(&canonical)))
    }

    /// The key in PEM, for the file of its owner.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        let text = Zeroizing::new(STANDARD.encode(&*self.pkcs8));
        let mut pem = Zeroizing::new(String::from("-----BEGIN PRIVATE KEY-----\n"));
        let mut rest = text.as_str();
        while let Some((line, more)) = rest.split_at_checked(64) {
            pem.push_str(line);
            pem.push('\n');
            rest = more;
        }
        if !rest.is_empty() {
            pem.push_str(rest);
            pem.push('\n');
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        pem
    }

    /// The public half, where it may be shown: RSA keys show theirs nowhere.
    pub(crate) fn public_half(&self) -> Result<PublicHalf, ClientKeyError> {
        let pair = match &self.pair {
            Pair::Ed25519(pair) => {
                let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
                return Ok(PublicHalf::Ed25519(x));
            }
            Pair::P256(pair) | Pair::P384(pair) => pair,
            Pair::Rsa(_) => return Err(ClientKeyError::Kind),
        };
        let point = pair.public_key().as_ref();
        let half = point.len() / 2;
        let (x, y) = point
            .get(1..=half)
            .zip(point.get(half + 1..))
            .ok_or(ClientKeyError::Kind)?;
        Ok(PublicHalf::Ecdsa {
            curve: if half == 32 { "P-256" } else { "P-384" },
            x: URL_SAFE_NO_PAD.encode(x),
            y: URL_SAFE_NO_PAD.encode(y),
        })
    }

    pub(crate) fn sign(
        &self,
        algorithm: Algorithm,
        claims: &[u8],
        header: impl FnOnce(&mut ObjectWriter<'_>),
    ) -> Result<String, ClientKeyError> {
        let header = object(|out| {
            out.string("alg", algorithm.as_str());
            header(out);
        });
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let random = SystemRandom::new();
        let refused = |_| ClientKeyError::Sign;
        let signature = match &self.pair {
            Pair::Ed25519(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
            Pair::P256(pair) | Pair::P384(pair) => pair
                .sign(&random, signed.as_bytes())
                .map_err(refused)?
                .as_ref()
                .to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let padding: &dyn aws_lc_rs::signature::RsaEncoding = if algorithm == Algorithm::Ps256 {
                    &RSA_PSS_SHA256
                } else {
                    &RSA_PKCS1_SHA256
                };
                pair.sign(padding, &random, signed.as_bytes(), &mut signature)
                    .map_err(refused)?;
                signature
            }
        };
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl std::fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClientKey({})", self.algorithm().as_str())
    }
}

impl PartialEq for ClientKey {
    fn eq(&self, other: &Self) -> bool {
        self.pkcs8 == other.pkcs8
    }
}

fn ecdsa(der: &[u8]) -> Option<Pair> {
    let read = |curve| {
        EcdsaKeyPair::from_pkcs8(curve, der).or_else(|_| EcdsaKeyPair::from_private_key_der(curve, der))
    };
    if let Ok(pair) = read(&ECDSA_P256_SHA256_FIXED_SIGNING) {
        return Some(Pair::P256(Box::new(pair)));
    }
    let pair = read(&ECDSA_P384_SHA384_FIXED_SIGNING).ok()?;
    Some(Pair::P384(Box::new(pair)))
}

/// The first private key of a PEM text.
fn der(text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once("PRIVATE KEY-----")?;
    let (body, _) = rest.split_once("-----END")?;
    let body: String = body.chars().filter(|c| !c.is_whitespace()).collect();
    STANDARD.decode(body).ok()
}

#[cfg(test)]
mod tests {
    use super::{Assertion, ClientKey, ClientKeyError, Proving};
    use crate::{Secret, jose, proof};

    /// By OpenSSL 3.0.19: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`.
    const P256: &str = "-----BEGIN PRIVATE KEY-----\n\
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgit/TZYBk/kIjB7OY\n\
        timuruV4M90iZqBlojkmWlnhHYOhRANCAASAPl/QQxeelzOBO+IfdzPsyLxXT6Td\n\
        qXQfGY+2USDG5MPPUAGmUnIIiotyrmvZisOZea4KQpUrXE0ZA5hYnk6j\n\
        -----END PRIVATE KEY-----\n";

    #[test]
    fn a_proof_holds_for_its_request_and_token_alone() {
        let key = ClientKey::generate().expect("a key");
        let token = Secret::presented("a-token".to_owned());
        let made = |url: &str| {
            key.proof(&Proving {
                method: "POST",
                url,
                token: Some(&token),
                nonce: Some("n"),
                id: "one",
                now_ms: 1_000_000,
            })
            .expect("a proof")
        };
        let check = |proof: &str, method, url, token| {
            let request = proof::Request {
                method,
                url,
                token,
                nonces: None,
            };
            proof::check(proof, request, 1_000_000).map(|proven| proven.key().to_string())
        };
        let url = "https://a.example/mcp";
        let proof = made("https://a.example/mcp?x=1#y");
        let again = ClientKey::from_der(key.to_der().to_vec()).expect("the key");
        assert!(again == key);
        check(&proof, "POST", url, Some(&token)).expect("it holds");
        let other = Secret::presented("another".to_owned());
        check(&proof, "POST", url, Some(&other)).expect_err("another token");
        check(&proof, "GET", url, Some(&token)).expect_err("another method");
        check(&proof, "POST", "https://b.example/mcp", Some(&token)).expect_err("another URL");
    }

    #[test]
    fn an_assertion_is_signed_by_the_key() {
        let key = ClientKey::from_pem(P256).expect("a key");
        assert_eq!(key.algorithm(), jose::Algorithm::Es256);
        let says = Assertion {
            client: "us",
            audience: "https://as.example",
            id: "one",
            now_ms: 5_000,
            key_id: Some("k"),
            algorithm: Some(jose::Algorithm::Rs256),
        };
        let assertion = key.assertion(&says).expect("signed");
        assert_eq!(jose::claimed_issuer(&assertion).as_deref(), Some("us"));
        assert_eq!(jose::claimed_key(&assertion).as_deref(), Some("k"));
        assert_eq!(assertion.split('.').count(), 3);
    }

    #[test]
    fn what_is_no_key_is_none() {
        for text in [
            "",
            "secret",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
        ] {
            ClientKey::from_pem(text).expect_err(text);
        }
        assert_eq!(
            ClientKey::from_pem("-----BEGIN PUBLIC KEY-----").map(|_| ()),
            Err(ClientKeyError::Pem)
        );
    }
}
