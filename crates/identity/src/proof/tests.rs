use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::*;
use crate::{jose::SigningKey, once::REMEMBERED_MAX};

const NOW: i64 = 1_800_000_000_000;
const URL: &str = "https://gate.example/mcp";

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32]).expect("a seed")
}

fn jwk(n: u8) -> String {
    String::from_utf8(wire::json::object(|out| key(n).write_jwk(out))).expect("text")
}

fn token() -> Secret {
    Secret::presented("a.b.c".to_owned())
}

fn signed(header: &str, claims: &str, by: u8) -> String {
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = key(by).sign_for_tests(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A good proof, changed: `name=value` replaces or adds a member, `name` alone removes it.
fn proof(header: &str, claim: &str) -> String {
    let apply = |mut members: Vec<(&str, String)>, change: &str| {
        let (name, value) = change
            .split_once('=')
            .map_or((change, None), |(n, v)| (n, Some(v)));
        members.retain(|(member, _)| *member != name);
        let mut all: Vec<_> = members.iter().map(|(n, v)| format!("\"{n}\":{v}")).collect();
        all.extend(value.map(|value| format!("\"{name}\":{value}")));
        format!("{{{}}}", all.join(","))
    };
    let head = vec![
        ("typ", "\"dpop+jwt\"".to_owned()),
        ("alg", "\"EdDSA\"".to_owned()),
        ("jwk", jwk(1)),
    ];
    let digest = URL_SAFE_NO_PAD.encode(sha256(b"a.b.c"));
    let claims = vec![
        ("htm", "\"POST\"".to_owned()),
        ("htu", format!("\"{URL}\"")),
        ("iat", (NOW / 1000).to_string()),
        ("jti", "\"p1\"".to_owned()),
        ("ath", format!("\"{digest}\"")),
    ];
    signed(&apply(head, header), &apply(claims, claim), 1)
}

fn judged(proof: &str) -> Result<Proven, ProofError> {
    let token = token();
    let request = Request {
        method: "POST",
        url: URL,
        token: Some(&token),
        nonces: None,
    };
    check(proof, request, NOW)
}

#[test]
fn where_a_nonce_is_wanted_a_proof_without_one_of_now_shows_nothing() {
    let (nonces, token) = (Nonces::new(b"a secret"), token());
    let request = Request {
        method: "POST",
        url: URL,
        token: Some(&token),
        nonces: Some(&nonces),
    };
    let with = |nonce: &str| check(&proof("-", &format!("nonce=\"{nonce}\"")), request, NOW);
    with(&nonces.now(NOW)).expect("one of now");
    for (nonce, why) in [
        (nonces.now(NOW - 10 * 60 * 1000), "old"),
        (Nonces::new(b"another").now(NOW), "another server's"),
        ("x".to_owned(), "none at all"),
    ] {
        assert_eq!(with(&nonce).map(|_| ()), Err(ProofError::Nonce), "{why}");
    }
    let without = check(&proof("-", "-"), request, NOW).map(|_| ());
    assert_eq!(without, Err(ProofError::Nonce));
}

#[test]
fn a_proof_shows_the_key_and_is_good_once() {
    let proven = judged(&proof("-", "-")).expect("a good proof");
    assert_eq!(&**proven.key(), key(1).id());
    let proofs = Proofs::since(NOW);
    assert_eq!(proofs.take(&proven, NOW), Ok(()));
    assert_eq!(proofs.take(&proven, NOW), Err(ProofError::Replayed));
    // A process that began later cannot know whether it was used.
    assert_eq!(Proofs::since(NOW + 999).take(&proven, NOW + 999), Ok(()));
    assert_eq!(
        Proofs::since(NOW + 1000).take(&proven, NOW + 1000),
        Err(ProofError::Time)
    );
    // What does not count in a URL.
    for same in [
        "HTTPS://GATE.example/mcp",
        "https://gate.example:443/mcp",
        "https://gate.example/mcp?a=b#c",
    ] {
        assert!(judged(&proof("-", &format!("htu=\"{same}\""))).is_ok(), "{same}");
    }
}

/// OA-020 and OA-021.
#[test]
fn each_fault_of_a_proof_is_refused() {
    use JoseError::{Algorithm, Header, Malformed, Signature, Type};
    use ProofError::{Claim, Jose, Method, Time, Token, Url};
    let (old, early) = (NOW / 1000 - 61, NOW / 1000 + 31);
    let private = jwk(1).replace('}', ",\"d\":\"AAAA\"}");
    let other = jwk(2);
    let rows: Vec<(String, &str, ProofError)> = vec![
        // The header.
        ("typ=\"JWT\"".into(), "-", Jose(Type)),
        ("typ=\"at+jwt\"".into(), "-", Jose(Type)),
        ("typ".into(), "-", Jose(Type)),
        ("alg=\"none\"".into(), "-", Jose(Algorithm)),
        ("alg=\"HS256\"".into(), "-", Jose(Algorithm)),
        ("alg=\"ES256\"".into(), "-", Jose(Algorithm)),
        ("alg".into(), "-", Jose(Algorithm)),
        ("jwk".into(), "-", Jose(Header)),
        ("jwk=\"key\"".into(), "-", Jose(Header)),
        (format!("jwk={private}"), "-", Jose(Header)),
        ("jwk={\"kty\":\"oct\",\"k\":\"AAAA\"}".into(), "-", Jose(Header)),
        (format!("jwk={other}"), "-", Jose(Signature)),
        ("crit=[\"exp\"]".into(), "-", Jose(Header)),
        ("jku=\"https://attacker.example\"".into(), "-", Jose(Header)),
        ("x5c=[]".into(), "-", Jose(Header)),
        ("b64=false".into(), "-", Jose(Header)),
        // The claims.
        ("-".into(), "htm", Claim("htm")),
        ("-".into(), "htm=\"GET\"", Method),
        ("-".into(), "htm=\"post\"", Method),
        ("-".into(), "htu", Claim("htu")),
        ("-".into(), "htu=\"https://gate.example/mcp/\"", Url),
        ("-".into(), "htu=\"https://gate.example/mcp/charts\"", Url),
        ("-".into(), "htu=\"http://gate.example/mcp\"", Url),
        ("-".into(), "htu=\"https://gate.example:8443/mcp\"", Url),
        ("-".into(), "htu=\"https://gate.example/MCP\"", Url),
        ("-".into(), "htu=\"https://other.example/mcp\"", Url),
        ("-".into(), "htu=\"/mcp\"", Url),
        ("-".into(), "iat", Claim("iat")),
        ("-".into(), "iat=\"1800000000\"", Claim("iat")),
        ("-".into(), "jti", Claim("jti")),
        ("-".into(), "jti=\"\"", Claim("jti")),
        ("-".into(), "jti=1", Claim("jti")),
        ("-".into(), "ath", Claim("ath")),
        ("-".into(), "ath=\"AAAA\"", Token),
        ("-".into(), "jti=\"p2\",\"jti\":\"p3\"", Jose(Malformed)),
    ];
    for (header, claim, error) in rows {
        let found = judged(&proof(&header, claim)).expect_err(&header);
        assert_eq!(found, error, "{header} {claim}");
    }
    for time in [old, early] {
        assert_eq!(
            judged(&proof("-", &format!("iat={time}"))).expect_err("a time"),
            Time
        );
    }
    for garbled in [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        &proof("-", "-").replace('.', ".."),
    ] {
        assert!(matches!(judged(garbled), Err(Jose(_))), "{garbled}");
    }
}

/// What is over may have been forgotten, so it is no longer taken; and nobody has the whole store looked through at
/// each request.
#[test]
fn proofs_that_are_over_are_refused_and_forgotten_once_a_second() {
    let proven = |n: usize, until_ms: i64| Proven {
        key: Arc::from("k"),
        single: Single {
            id: sha256(&n.to_be_bytes()),
            from_ms: until_ms - AGE_MS_MAX,
            until_ms,
        },
    };
    let proofs = Proofs::since(NOW);
    let end = NOW + AGE_MS_MAX;
    assert_eq!(proofs.take(&proven(0, end), end + 1), Err(ProofError::Time));
    for n in 0..REMEMBERED_MAX {
        assert_eq!(proofs.take(&proven(n, end), NOW), Ok(()), "{n}");
    }
    let new = proven(REMEMBERED_MAX, end + AGE_MS_MAX);
    assert_eq!(proofs.take(&new, end - 500), Err(ProofError::Crowded));
    assert_eq!(proofs.take(&proven(0, end), end), Err(ProofError::Replayed));
    // All of them are over, and nobody looks yet.
    assert_eq!(proofs.take(&new, end + 1), Err(ProofError::Crowded));
    assert_eq!(proofs.take(&new, end + 500), Ok(()));
    // By a clock that was read before those were forgotten.
    assert_eq!(proofs.take(&proven(0, end), end), Err(ProofError::Time));
}

/// Each algorithm that metadata names is taken: an RSA key that does not say what it is for is for either.
#[test]
fn an_rsa_key_without_an_algorithm_is_for_the_one_in_the_header() {
    use aws_lc_rs::{
        rand::SystemRandom,
        rsa::{KeyPair as RsaKeyPair, KeySize},
        signature::{KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256},
    };
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    // SEQUENCE { INTEGER, INTEGER }: 2,048 bits behind a zero byte, and 65,537.
    let der = pair.public_key().as_ref();
    let (n, e) = (text(&der[9..265]), text(&der[267..]));
    let claims = format!(
        r#"{{"htm":"POST","htu":"{URL}","iat":{},"jti":"p1","ath":"{}"}}"#,
        NOW / 1000,
        text(&sha256(b"a.b.c"))
    );
    for (alg, own, good) in [
        ("PS256", "", true),
        ("RS256", "", true),
        ("PS256", r#","alg":"PS256""#, true),
        ("PS256", r#","alg":"RS256""#, false),
        ("RS256", r#","alg":"PS256""#, false),
        ("ES256", "", false),
    ] {
        let jwk = format!(r#"{{"kty":"RSA","n":"{n}","e":"{e}"{own}}}"#);
        let header = format!(r#"{{"typ":"dpop+jwt","alg":"{alg}","jwk":{jwk}}}"#);
        let signed = format!("{}.{}", text(header.as_bytes()), text(claims.as_bytes()));
        let mut signature = vec![0; pair.public_modulus_len()];
        let random = SystemRandom::new();
        let done = match alg {
            "PS256" => pair.sign(&RSA_PSS_SHA256, &random, signed.as_bytes(), &mut signature),
            _ => pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature),
        };
        done.expect("signed");
        let found = judged(&format!("{signed}.{}", text(&signature)));
        assert_eq!(found.is_ok(), good, "{alg} {own}: {found:?}");
    }
}
