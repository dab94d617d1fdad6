//! One good request, and everything that must not be done to it.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use wire::json::object;

use super::{Rotation, Wish};
use crate::{
    jose::{JoseError, KeySet, SigningKey},
    oauth::Client,
    once::{NotOnce, Once},
    principal::ActorKind,
    token::TokenError,
};

const NOW_MS: i64 = 1_800_000_000_000;
const GATEWAY: &str = "https://gateway.example";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32]).expect("a key")
}

/// A JWS by one key, with another in its header.
fn jws(typ: &str, shown: Option<u8>, by: u8, claims: &str) -> String {
    let header = object(|out| {
        out.string("alg", "EdDSA");
        out.string("typ", typ);
        match shown {
            Some(shown) => out.object("jwk", |jwk| key(shown).write_jwk(jwk)),
            None => out.string("kid", key(by).id()),
        }
    });
    let text = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = key(by).sign_for_tests(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn claims(more: &str) -> String {
    let seconds = NOW_MS / 1000;
    format!(
        r#"{{"aud":"{GATEWAY}","iat":{seconds},"exp":{},"jti":"a",{more}}}"#,
        seconds + 60
    )
}

fn wish(more: &str) -> String {
    jws("sallyport-enroll+jwt", Some(1), 1, &claims(more))
}

fn read(request: &str) -> Result<Wish, TokenError> {
    Wish::read(request, &[GATEWAY.to_owned()], NOW_MS)
}

#[test]
fn a_wish_is_read_and_used_once() {
    let found = read(&wish(r#""name":"bot","model":"v/m","version":"1""#)).expect("good");
    assert_eq!(found.name, "bot");
    assert_eq!(
        found.key.id(),
        key(1).public().thumbprint(),
        "whatever it is called"
    );
    assert_eq!(found.model.as_ref().map(|model| model.name.as_str()), Some("v/m"));
    let used = Once::since(NOW_MS - 1000);
    assert_eq!(found.take(&used, NOW_MS), Ok(()));
    assert_eq!(found.take(&used, NOW_MS), Err(NotOnce::Replayed));
}

#[test]
fn a_wish_that_is_wrong_is_none() {
    let good = claims(r#""name":"bot""#);
    let enrol = "sallyport-enroll+jwt";
    for (what, request) in [
        ("another type", jws("dpop+jwt", Some(1), 1, &good)),
        ("another's key", jws(enrol, Some(1), 2, &good)),
        ("no key", jws(enrol, None, 1, &good)),
        ("no name", wish(r#""model":"v/m""#)),
        ("a name that is none", wish(r#""name":7"#)),
        ("a version of nothing", wish(r#""name":"bot","version":"1""#)),
        ("an empty model", wish(r#""name":"bot","model":"""#)),
        (
            "for another gateway",
            jws(enrol, Some(1), 1, &good.replace(GATEWAY, "https://other.example")),
        ),
        (
            "old",
            jws(enrol, Some(1), 1, &good.replace("18000000", "17000000")),
        ),
        ("no use", jws(enrol, Some(1), 1, &good.replace("jti", "jtj"))),
        (
            "good for too long",
            jws(enrol, Some(1), 1, &good.replace("1800000060", "1800086400")),
        ),
        ("nothing", String::new()),
    ] {
        read(&request).map(|_| ()).expect_err(what);
    }
}

#[test]
fn a_key_is_followed_by_a_key_that_both_sign_for() {
    let client = Client {
        id: "bot".to_owned(),
        kind: ActorKind::Agent,
        secret: None,
        keys: Some(Arc::new(KeySet::of(vec![key(1).public()]))),
        scopes: Vec::new(),
        acts_for: Vec::new(),
        acts_for_those: Vec::new(),
        model: None,
        tenant: None,
    };
    let next = |shown, by, name: &str| {
        let more = format!(r#""name":"{name}""#);
        jws("sallyport-enroll+jwt", Some(shown), by, &claims(&more))
    };
    let rotation = |by, agent: &str, next: &str| {
        let more = format!(r#""sub":"{agent}","next":"{next}""#);
        let request = jws("sallyport-rotate+jwt", None, by, &claims(&more));
        let read = Rotation::read(&request, &client, &[GATEWAY.to_owned()], NOW_MS);
        read.map(|rotation| rotation.key.thumbprint().to_owned())
    };
    assert_eq!(rotation(1, "bot", &next(2, 2, "bot")).as_deref(), Ok(key(2).id()));
    let unknown = TokenError::Jose(JoseError::UnknownKey);
    assert_eq!(
        rotation(2, "bot", &next(2, 2, "bot")),
        Err(unknown),
        "by the next key alone"
    );
    assert_eq!(rotation(1, "other", &next(2, 2, "bot")), Err(TokenError::Client));
    assert_eq!(
        rotation(1, "bot", &next(2, 2, "other")),
        Err(TokenError::Client),
        "meant for another"
    );
    rotation(1, "bot", &next(2, 1, "bot")).expect_err("a key it has not");
    rotation(1, "bot", "").expect_err("no key");
}
