//! One good request, and everything that must not be done to it.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use wire::{
    bounds::CREDENTIAL,
    json::{Document, Keys},
};

use super::{BodyDigests, Message, Signature, SignatureError, Signatures, Signed};
use crate::{
    jose::{PublicKey, SigningKey},
    secret::sha256,
};

const NOW_MS: i64 = 1_800_000_000_000;
const BODY: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
const COVERED: &str = r#""@method" "@target-uri" "content-digest" "authorization""#;
const PARAMS: &str = r#"created=1800000000;keyid="k";nonce="n-1""#;

type Change = fn(&mut Asked);

/// A request, and how it is signed.
struct Asked {
    message: Message,
    /// What the signer believes the request to be; the same unless a test says so.
    signed: Option<Message>,
    covered: String,
    params: String,
    /// Further signatures and other nonsense.
    input_end: &'static str,
    signature_end: &'static str,
    label: &'static str,
    key: SigningKey,
    now_ms: i64,
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32]).expect("a key")
}

fn digest_of(body: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(sha256(body)))
}

impl Asked {
    fn good() -> Self {
        let field = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        Self {
            message: Message {
                method: "POST".to_owned(),
                base: "https://gateway.example".to_owned(),
                path: "/mcp".to_owned(),
                query: None,
                fields: vec![
                    field("content-digest", &digest_of(BODY)),
                    field("authorization", "Bearer abc"),
                ],
                body: BodyDigests::of(BODY),
            },
            signed: None,
            covered: COVERED.to_owned(),
            params: PARAMS.to_owned(),
            input_end: "",
            signature_end: "",
            label: "sig",
            key: key(1),
            now_ms: NOW_MS + 5_000,
        }
    }

    fn set(&mut self, name: &str, value: Option<&str>) {
        self.message.fields.retain(|(known, _)| known != name);
        if let Some(value) = value {
            let value = Some(value.to_owned());
            self.message.fields.push((name.to_owned(), value));
        }
    }

    fn param(&mut self, from: &str, to: &str) {
        assert!(self.params.contains(from), "{from}");
        self.params = self.params.replace(from, to);
    }

    fn cover(&mut self, from: &str, to: &str) {
        assert!(self.covered.contains(from), "{from}");
        self.covered = self.covered.replace(from, to);
    }

    /// The request from here on is not what was signed.
    fn then(&mut self) -> &mut Message {
        self.signed = Some(self.message.clone());
        &mut self.message
    }

    /// Signs as a client does, and checks as the gateway does.
    fn check(mut self) -> Result<Signed, SignatureError> {
        let input = format!("({});{}", self.covered, self.params);
        let base = base_by_hand(
            self.signed.as_ref().unwrap_or(&self.message),
            &self.covered,
            &input,
        );
        let signature = STANDARD.encode(self.key.sign_for_tests(base.as_bytes()));
        let label = self.label;
        let fields = [
            ("signature-input", format!("{label}={input}{}", self.input_end)),
            ("signature", format!("sig=:{signature}:{}", self.signature_end)),
        ];
        for (name, value) in fields {
            self.message.fields.push((name.to_owned(), Some(value)));
        }
        let signature = Signature::of(&self.message)?;
        signature.verify(&self.message, &key(1).public(), self.now_ms)
    }
}

/// The base as a signer makes it, apart from the code under test.
fn base_by_hand(message: &Message, covered: &str, input: &str) -> String {
    let mut lines = Vec::new();
    for name in covered.split(' ').filter(|name| !name.is_empty()) {
        let value = match name {
            "\"@method\"" => message.method.clone(),
            "\"@target-uri\"" => {
                let query = message.query.as_ref().map(|query| format!("?{query}"));
                format!("{}{}{}", message.base, message.path, query.unwrap_or_default())
            }
            "\"@authority\"" => message.base.replace("https://", ""),
            "\"@path\"" => message.path.clone(),
            "\"@query\"" => format!("?{}", message.query.clone().unwrap_or_default()),
            name => {
                let lines = message
                    .fields
                    .iter()
                    .filter(|(known, _)| *known == name.trim_matches('"'));
                let lines: Vec<_> = lines.filter_map(|(_, value)| value.as_deref()).collect();
                lines.join(", ")
            }
        };
        lines.push(format!("{name}: {value}"));
    }
    lines.push(format!("\"@signature-params\": {input}"));
    lines.join("\n")
}

#[test]
fn a_good_signature_holds_once() {
    let uses = Signatures::since(NOW_MS - 60_000);
    let signed = Asked::good().check().expect("it holds");
    assert_eq!(signed.key().as_ref(), key(1).public().thumbprint());
    uses.take(&signed, NOW_MS + 5_000).expect("the first time");
    assert_eq!(uses.take(&signed, NOW_MS + 5_000), Err(SignatureError::Replayed));
    // Another nonce is another request.
    let mut other = Asked::good();
    other.param("n-1", "n-2");
    uses.take(&other.check().expect("it holds"), NOW_MS + 5_000)
        .expect("another");
    // What was made before anybody remembered.
    let late = Signatures::since(NOW_MS + 5_000);
    assert_eq!(late.take(&signed, NOW_MS + 5_000), Err(SignatureError::Time));
}

#[test]
fn other_good_ways() {
    let ways: [(&str, Change); 8] = [
        ("the URL in parts", |a| {
            a.cover("\"@target-uri\"", "\"@authority\" \"@path\" \"@query\"")
        }),
        ("a query", |a| a.message.query = Some("x=1&y=%20".to_owned())),
        ("alg, tag and expires", |a| {
            a.params
                .push_str(";alg=\"ed25519\";tag=\"sallyport\";expires=1800000010");
        }),
        ("further fields", |a| {
            a.set("mcp-session-id", Some("s"));
            a.cover("\"authorization\"", "\"authorization\" \"mcp-session-id\"");
        }),
        ("a field of two lines", |a| {
            a.set("x-a", Some("1"));
            a.message.fields.push(("x-a".to_owned(), Some("2".to_owned())));
            a.cover("\"authorization\"", "\"authorization\" \"x-a\"");
        }),
        ("no token", |a| {
            a.set("authorization", None);
            a.cover(" \"authorization\"", "");
        }),
        ("no body", |a| {
            a.message.body = BodyDigests::of(b"");
            a.set("content-digest", None);
            a.cover("\"content-digest\" ", "");
        }),
        ("a clock that is ahead", |a| a.now_ms = NOW_MS - 29_000),
    ];
    for (what, change) in ways {
        let mut asked = Asked::good();
        change(&mut asked);
        asked.check().unwrap_or_else(|error| panic!("{what}: {error}"));
    }
}

#[test]
fn whatever_is_wrong_with_a_signature_is_refused() {
    use SignatureError as E;
    let faults: [(&str, Change, E); 47] = [
        // What has to be covered.
        (
            "no method",
            |a| a.cover("\"@method\" ", ""),
            E::Missing("@method"),
        ),
        (
            "no URL",
            |a| a.cover("\"@target-uri\" ", ""),
            E::Missing("@target-uri"),
        ),
        (
            "no query",
            |a| a.cover("\"@target-uri\"", "\"@authority\" \"@path\""),
            E::Missing("@target-uri"),
        ),
        (
            "no authority",
            |a| a.cover("\"@target-uri\"", "\"@path\" \"@query\""),
            E::Missing("@target-uri"),
        ),
        (
            "no digest",
            |a| a.cover("\"content-digest\" ", ""),
            E::Missing("content-digest"),
        ),
        (
            "no token",
            |a| a.cover(" \"authorization\"", ""),
            E::Missing("authorization"),
        ),
        (
            "no model",
            |a| a.set("sallyport-model", Some("x")),
            E::Missing("sallyport-model"),
        ),
        ("nothing", |a| a.covered.clear(), E::Missing("@method")),
        (
            "twice",
            |a| a.cover("\"@method\"", "\"@method\" \"@method\""),
            E::Component,
        ),
        (
            "a part of a field",
            |a| a.cover("\"content-digest\"", "\"content-digest\";key=\"sha-512\""),
            E::Component,
        ),
        (
            "a field as bytes",
            |a| a.cover("\"authorization\"", "\"authorization\";bs"),
            E::Component,
        ),
        (
            "another request's",
            |a| a.cover("\"@method\"", "\"@method\";req"),
            E::Component,
        ),
        (
            "the answer's status",
            |a| a.cover("\"@method\"", "\"@method\" \"@status\""),
            E::Component,
        ),
        (
            "a field that is not there",
            |a| a.cover("\"@method\"", "\"@method\" \"x-none\""),
            E::Component,
        ),
        (
            "a token for a text",
            |a| a.cover("\"@method\"", "\"@method\" method"),
            E::Field("signature-input"),
        ),
        // What was changed since.
        ("the body", |a| a.then().body = BodyDigests::of(b"{}"), E::Digest),
        (
            "body and digest",
            |a| {
                a.then().body = BodyDigests::of(b"{}");
                a.set("content-digest", Some(&digest_of(b"{}")));
            },
            E::Signature,
        ),
        (
            "the digest taken away",
            |a| {
                a.then();
                a.set("content-digest", None);
            },
            E::Component,
        ),
        (
            "a digest nobody relies on",
            |a| a.set("content-digest", Some("md5=:AAAA:")),
            E::Digest,
        ),
        (
            "one of two digests is wrong",
            |a| {
                a.set(
                    "content-digest",
                    Some(&format!("{}, sha-512=:AAAA:", digest_of(BODY))),
                );
            },
            E::Digest,
        ),
        (
            "a digest that is none",
            |a| a.set("content-digest", Some("sha-256=abc")),
            E::Field("content-digest"),
        ),
        (
            "the method",
            |a| a.then().method = "DELETE".to_owned(),
            E::Signature,
        ),
        (
            "the authority",
            |a| a.then().base = "https://other.example".to_owned(),
            E::Signature,
        ),
        (
            "the scheme",
            |a| a.then().base = "http://gateway.example".to_owned(),
            E::Signature,
        ),
        (
            "the path",
            |a| a.then().path = "/mcp/other".to_owned(),
            E::Signature,
        ),
        (
            "the query",
            |a| a.then().query = Some("x=1".to_owned()),
            E::Signature,
        ),
        (
            "the token",
            |a| {
                a.then();
                a.set("authorization", Some("Bearer other"));
            },
            E::Signature,
        ),
        (
            "the token taken away",
            |a| {
                a.then();
                a.set("authorization", None);
            },
            E::Component,
        ),
        (
            "a second line that is no text",
            |a| {
                a.then().fields.push(("authorization".to_owned(), None));
            },
            E::Component,
        ),
        // Time.
        ("old", |a| a.now_ms = NOW_MS + 60_001, E::Time),
        ("of the future", |a| a.now_ms = NOW_MS - 31_000, E::Time),
        (
            "no created",
            |a| a.param("created=1800000000;", ""),
            E::Parameter("created"),
        ),
        (
            "created as text",
            |a| a.param("1800000000", "\"1800000000\""),
            E::Parameter("created"),
        ),
        (
            "expired",
            |a| a.params.push_str(";expires=1800000004"),
            E::Expired,
        ),
        (
            "over before it began",
            |a| a.params.push_str(";expires=1799999999"),
            E::Expired,
        ),
        // Whose, and for what.
        ("another key", |a| a.key = key(2), E::Signature),
        (
            "another algorithm",
            |a| a.params.push_str(";alg=\"ecdsa-p256-sha256\""),
            E::Algorithm,
        ),
        (
            "a shared secret",
            |a| a.params.push_str(";alg=\"hmac-sha256\""),
            E::Algorithm,
        ),
        (
            "another application",
            |a| a.params.push_str(";tag=\"web-bot-auth\""),
            E::Tag,
        ),
        (
            "no nonce",
            |a| a.param(";nonce=\"n-1\"", ""),
            E::Parameter("nonce"),
        ),
        ("an empty nonce", |a| a.param("n-1", ""), E::Parameter("nonce")),
        ("no key", |a| a.param(";keyid=\"k\"", ""), E::Parameter("keyid")),
        // How many.
        (
            "two signatures",
            |a| {
                a.input_end = ", b=(\"@method\");created=1;keyid=\"k\"";
                a.signature_end = ", b=:AAAA:";
            },
            E::Several,
        ),
        (
            "a label twice",
            |a| a.input_end = ", sig=(\"@method\");keyid=\"k\"",
            E::Field("signature-input"),
        ),
        (
            "a label twice",
            |a| a.signature_end = ", sig=:AAAA:",
            E::Field("signature"),
        ),
        ("labels that differ", |a| a.label = "gis", E::Several),
        (
            "a parameter twice",
            |a| a.params.push_str(";nonce=\"n-2\""),
            E::Field("signature-input"),
        ),
    ];
    for (n, (what, change, expected)) in faults.into_iter().enumerate() {
        let mut asked = Asked::good();
        change(&mut asked);
        let found = asked.check().map(|_| ());
        assert_eq!(found, Err(expected), "{n}: {what}");
    }
}

#[test]
fn fields_that_are_malformed_are_no_signatures() {
    let good = "sig=(\"@method\");keyid=\"k\"";
    let inputs = [
        "",
        "sig",
        "sig=",
        "sig=(",
        "sig=(\"a\"",
        "sig=(\"a\"\"b\")",
        "sig=(a b",
        "SIG=(\"a\")",
        "=(\"a\")",
        "sig=\"a\"",
        "sig=(\"a\");keyid=",
        "sig=(\"a\");keyid=k",
        "sig=(\"a\");keyid=\"k",
        "sig=(\"a\");keyid=\"k\",",
        "sig=(\"a\");created=1.5;keyid=\"k\"",
        "sig=(\"a\");created=1234567890123456;keyid=\"k\"",
        "sig=(\"a\");keyid=\"\u{e9}\"",
        "sig=(\"a\");keyid=\"k\" x",
        "sig=(\"a\");Keyid=\"k\"",
        "sig=(\"a\\n\");keyid=\"k\"",
        "sig=(\"a\");keyid=:AA:",
        "sig=(\"a\");keyid=?1",
        "sig=(\"a\");keyid=\"k\",,b=1",
        "sig=((\"a\"));keyid=\"k\"",
    ];
    let signatures = [
        "",
        "sig",
        "sig=AAAA",
        "sig=\"AAAA\"",
        "sig=:AAA:",
        "sig=:AAAA",
        "sig=:A A=:",
        "sig=(:AAAA:)",
    ];
    let of = |input: &str, signature: &str| {
        let mut asked = Asked::good();
        asked.set("signature-input", Some(input));
        asked.set("signature", Some(signature));
        Signature::of(&asked.message).map(|_| ())
    };
    assert_eq!(of(good, "sig=:AAAA:"), Ok(()));
    for input in inputs {
        of(input, "sig=:AAAA:").expect_err(input);
    }
    for signature in signatures {
        of(good, signature).expect_err(signature);
    }
    let many = format!(
        "{good}{}",
        (0..40)
            .map(|n| format!(", s{n}=(\"a\");keyid=\"k\""))
            .collect::<String>()
    );
    of(&many, "sig=:AAAA:").expect_err("too many");
    of(
        &format!("sig=(\"{}\");keyid=\"k\"", "a".repeat(9_000)),
        "sig=:AAAA:",
    )
    .expect_err("too long");
}

/// RFC 9421 appendix B.2.6: the RFC's own key, request and signature.
#[test]
fn the_standards_own_example_holds() {
    let jwk = br#"{"kty":"OKP","crv":"Ed25519","kid":"test-key-ed25519",
        "x":"JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}"#;
    let document = Document::parse(jwk.to_vec(), Keys::Exact, &CREDENTIAL).expect("JSON");
    let key = PublicKey::read(document.root()).expect("a key");
    let body = br#"{"hello": "world"}"#;
    let fields = [
        ("host", "example.com"),
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("content-type", "application/json"),
        (
            "content-digest",
            "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
        ),
        ("content-length", "18"),
        (
            "signature-input",
            "sig-b26=(\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\");created=1618884473;keyid=\"test-key-ed25519\"",
        ),
        (
            "signature",
            "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
        ),
    ];
    let message = Message {
        method: "POST".to_owned(),
        base: "https://Example.com:443".to_owned(),
        path: "/foo".to_owned(),
        query: Some("param=Value&Pet=dog".to_owned()),
        fields: fields
            .map(|(name, value)| (name.to_owned(), Some(value.to_owned())))
            .to_vec(),
        body: BodyDigests::of(body),
    };
    let digest = message.field("content-digest").expect("a digest");
    assert_eq!(message.body.fit(&digest), Ok(()));
    let signature = Signature::of(&message).expect("a signature");
    let base = signature.base(&message).expect("a base");
    key.verify(base.as_bytes(), &signature.bytes)
        .expect("the RFC's own signature");
    // It covers too little for us.
    let refused = signature.verify(&message, &key, 1_618_884_473_000).map(|_| ());
    assert_eq!(refused, Err(SignatureError::Missing("@target-uri")));
    // B.2.3 has a query among what it covers.
    assert_eq!(
        message.component("@query").as_deref(),
        Some("?param=Value&Pet=dog")
    );
    assert_eq!(
        message.component("@target-uri").as_deref(),
        Some("https://example.com/foo?param=Value&Pet=dog")
    );
}

#[test]
fn keys_of_both_kinds_sign() {
    let pkcs8 =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).expect("a key");
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    let jwk = format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#);
    let document = Document::parse(jwk.into_bytes(), Keys::Exact, &CREDENTIAL).expect("JSON");
    let key = PublicKey::read(document.root()).expect("a key");
    assert_eq!(key.id(), key.thumbprint());
    for (alg, expected) in [
        (";alg=\"ecdsa-p256-sha256\"", Ok(())),
        (";alg=\"ed25519\"", Err(SignatureError::Algorithm)),
    ] {
        let asked = Asked::good();
        let input = format!("({COVERED});{PARAMS}{alg}");
        let base = base_by_hand(&asked.message, COVERED, &input);
        let signature = pair.sign(&SystemRandom::new(), base.as_bytes()).expect("signed");
        let mut message = asked.message;
        for (name, value) in [
            ("signature-input", format!("sig={input}")),
            (
                "signature",
                format!("sig=:{}:", STANDARD.encode(signature.as_ref())),
            ),
        ] {
            message.fields.push((name.to_owned(), Some(value)));
        }
        let signature = Signature::of(&message).expect("a signature");
        let found = signature.verify(&message, &key, NOW_MS).map(|_| ());
        assert_eq!(found, expected, "{alg}");
    }
}
