//! ID tokens, each with one fault, by the issuer's own key.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::*;
use crate::{
    jose::SigningKey,
    token::external::tests::{claim, claims, key, signed, trust},
};

const NOW: i64 = 1_800_000_000_000;

/// What is different about an ID token of the issuer of the tests beside.
const LOGGED_IN: [&str; 9] = [
    "client_id",
    "scope",
    "aud=\"gateway\"",
    "nonce=\"n-1\"",
    "auth_time=1799999990",
    "acr=\"urn:x:phr\"",
    "amr=[\"pwd\",\"mfa\"]",
    "jti",
    "azp=\"gateway\"",
];

fn judged(trust: &Trust, token: &str, max_age_s: Option<i64>) -> Result<Elsewhere, TokenError> {
    let keys = KeySet::of(vec![key(1).public()]);
    let expected = Expected {
        client: "gateway",
        nonce: "n-1",
        access_token: "an access token",
        max_age_s,
    };
    trust.id_token(token, &keys, expected, NOW + 1000)
}

fn with(trust: &Trust, changes: &[&str]) -> Result<Elsewhere, TokenError> {
    judged(trust, &token(changes, &key(1)), None)
}

fn token(changes: &[&str], by: &SigningKey) -> String {
    let all: Vec<&str> = LOGGED_IN.iter().chain(changes).copied().collect();
    signed("JWT", &claims(&all), by)
}

#[test]
fn a_person_who_logged_in_there_is_somebody_here() {
    let person = with(&trust(), &[]).expect("a good one");
    assert_eq!(
        (person.user.as_str(), person.tenant.as_deref()),
        ("corp/alice", Some("corp/t1"))
    );
    assert_eq!(person.asserted.roles, ["doctor"]);
    assert_eq!(person.asserted.delegated, Delegated::Here);
    assert_eq!(
        (person.acr.as_deref(), person.at_ms),
        (Some("urn:x:phr"), 1_799_999_990_000)
    );
    assert_eq!(person.methods, ["pwd", "mfa"]);
    // What providers leave out, or say with a list.
    for changes in [
        &["acr", "amr", "auth_time", "azp"] as &[&str],
        &["aud=[\"gateway\"]", "azp"],
        &["aud=[\"gateway\",\"other\"]"],
        &["amr=\"pwd\""],
    ] {
        with(&trust(), changes).expect("a good one");
    }
    let bare = with(&trust(), &["auth_time"]).expect("a good one");
    assert_eq!(bare.at_ms, NOW, "when it was issued");
    let whole = digest(&SHA512, b"an access token");
    let half = URL_SAFE_NO_PAD.encode(whole.as_ref().get(..32).expect("64 bytes"));
    with(&trust(), &[&format!("at_hash=\"{half}\"")]).expect("a good one");
}

#[test]
fn every_fault_of_an_id_token_is_refused() {
    let stranger = token(&[], &key(2));
    let access = signed("at+jwt", &claims(&LOGGED_IN), &key(1));
    let unsigned = {
        let header = URL_SAFE_NO_PAD.encode("{\"alg\":\"none\"}");
        format!("{header}.{}.", URL_SAFE_NO_PAD.encode(claims(&LOGGED_IN)))
    };
    for wrong in [stranger.as_str(), &access, &unsigned, "", "a.b.c"] {
        judged(&trust(), wrong, None).expect_err(wrong);
    }
    for (fault, expected) in [
        ("iss=\"https://evil.example\"", TokenError::Issuer),
        ("iss=\"https://login.example/t1/\"", TokenError::Issuer),
        ("iss", TokenError::Issuer),
        ("aud=\"other\"", TokenError::Audience),
        ("aud=[\"other\"]", TokenError::Audience),
        ("aud", TokenError::Audience),
        ("azp=\"other\"", TokenError::Claim("azp")),
        ("nonce=\"n-2\"", TokenError::Claim("nonce")),
        ("nonce=1", TokenError::Claim("nonce")),
        ("nonce", TokenError::Claim("nonce")),
        ("exp=1799999000", TokenError::Expired),
        ("exp", TokenError::Claim("exp")),
        ("iat", TokenError::Claim("iat")),
        ("iat=1800009000", TokenError::NotYet),
        ("at_hash=\"AAAA\"", TokenError::Claim("at_hash")),
        ("at_hash=1", TokenError::Claim("at_hash")),
        ("sub", TokenError::Claim("sub")),
        ("acr=1", TokenError::Claim("acr")),
        ("amr=[1]", TokenError::Claim("amr")),
        ("amr={}", TokenError::Claim("amr")),
        ("auth_time=\"now\"", TokenError::Claim("auth_time")),
        ("tid", TokenError::Claim("tenant")),
    ] {
        assert_eq!(with(&trust(), &[fault]).expect_err(fault), expected, "{fault}");
    }
    let several = ["aud=[\"gateway\",\"other\"]", "azp"];
    assert_eq!(with(&trust(), &several), Err(TokenError::Claim("azp")));
    // Groups that are left out because they are many are not the same as none.
    let left_out = ["groups", "_claim_names={\"groups\":\"src1\"}"];
    assert_eq!(with(&trust(), &left_out), Err(TokenError::Claim("groups")));
}

#[test]
fn who_has_to_have_logged_in_lately_has() {
    let at = |changes: &[&str]| judged(&trust(), &token(changes, &key(1)), Some(60));
    at(&[]).expect("ten seconds ago");
    for late in ["auth_time=1799999900", "auth_time"] {
        assert_eq!(at(&[late]), Err(TokenError::Claim("auth_time")), "{late}");
    }
}

#[test]
fn an_issuer_with_a_name_for_each_tenant_speaks_for_those_that_are_named() {
    let entra = Trust {
        issuer: "https://login.example/{tenantid}/v2.0".into(),
        tenants: vec!["t1".to_owned(), "t2".to_owned()],
        also: vec!["https://sts.example/t1/".to_owned()],
        user: claim("sub"),
        ..trust()
    };
    let by = |iss: &str, tid: &str| with(&entra, &[&format!("iss=\"{iss}\""), &format!("tid=\"{tid}\"")]);
    assert!(entra.answers_to("https://login.example/t2/v2.0"));
    assert!(!entra.answers_to("https://login.example/t3/v2.0"));
    by("https://login.example/t1/v2.0", "t1").expect("its own");
    by("https://login.example/t2/v2.0", "t2").expect("its own");
    by("https://sts.example/t1/", "t1").expect("its other name");
    for (iss, tid) in [
        ("https://login.example/t1/v2.0", "t2"),
        ("https://login.example/t3/v2.0", "t3"),
        ("https://login.example/{tenantid}/v2.0", "{tenantid}"),
        ("https://login.example/{tenantid}/v2.0", "t1"),
    ] {
        assert_eq!(by(iss, tid), Err(TokenError::Issuer), "{iss} {tid}");
    }
}
