use std::{collections::BTreeSet, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;
use crate::{
    jose::{Algorithm, JoseError, KeySet, PublicKey, SigningKey},
    model::{Model, ModelSource},
    principal::{Actor, ActorKind, DeclaredContext, Delegated, Principal},
    resource::ResourceId,
    secret::Secret,
};

const NOW: i64 = 1_800_000_000_000;

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32]).expect("a seed")
}

fn issuer() -> Issuer {
    Issuer::new("https://gate.example".into(), key(1), Vec::new())
}

fn resource() -> ResourceId {
    ResourceId::parse("https://gate.example/mcp").expect("a resource")
}

fn grant() -> Grant {
    Grant {
        actor: Actor {
            kind: ActorKind::Agent,
            name: "scribe".into(),
        },
        for_user: Some("alice".into()),
        tenant: None,
        model: Model::new("vendor/model-1".into(), None, ModelSource::Configured),
        scopes: BTreeSet::from([SCOPE.to_owned()]),
        context: Some("c1".into()),
        declared: Some(DeclaredContext {
            purpose: Some("treatment".into()),
            ..DeclaredContext::default()
        }),
        audience: resource(),
        token_id: "t1".into(),
        binding: None,
        issued_ms: NOW,
        lifetime_ms: LIFETIME_MS_MAX,
        asserted: None,
    }
}

fn verify(token: String, now_ms: i64) -> Result<crate::Principal, TokenError> {
    let issuer = issuer();
    Verifier::new(issuer.id().into(), issuer.keys()).verify(&Secret::presented(token), &resource(), now_ms)
}

/// Signs any header and claims with the issuer's own key: the strongest forger there is.
fn signed(header: &str, claims: &str) -> String {
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    format!(
        "{signed}.{}",
        URL_SAFE_NO_PAD.encode(key(1).sign_for_tests(signed.as_bytes()))
    )
}

fn header(change: &str) -> String {
    let kid = key(1).id().to_owned();
    let mut members = vec![
        ("alg", "\"EdDSA\"".to_owned()),
        ("kid", format!("\"{kid}\"")),
        ("typ", "\"at+jwt\"".into()),
    ];
    apply(&mut members, change)
}

fn claims(change: &str) -> String {
    let seconds = NOW / 1000;
    let mut members = vec![
        ("iss", "\"https://gate.example\"".to_owned()),
        ("aud", "\"https://gate.example/mcp\"".into()),
        ("client_id", "\"scribe\"".into()),
        ("sub", "\"scribe\"".into()),
        ("iat", seconds.to_string()),
        ("exp", (seconds + 300).to_string()),
        ("jti", "\"t1\"".into()),
        ("scope", "\"mcp\"".into()),
        ("io.sallyport", "{\"kind\":\"agent\"}".into()),
    ];
    apply(&mut members, change)
}

/// `name=value` replaces or adds a member, `name` alone removes it.
fn apply(members: &mut Vec<(&str, String)>, change: &str) -> String {
    let (name, value) = change
        .split_once('=')
        .map_or((change, None), |(n, v)| (n, Some(v.to_owned())));
    members.retain(|(member, _)| *member != name);
    let mut all: Vec<String> = members.iter().map(|(n, v)| format!("\"{n}\":{v}")).collect();
    if let Some(value) = value {
        all.push(format!("\"{name}\":{value}"));
    }
    format!("{{{}}}", all.join(","))
}

#[test]
fn a_minted_token_proves_what_was_granted() {
    let token = issuer().mint(&grant());
    let principal = verify(token, NOW + 1000).expect("a good token");
    assert_eq!(principal.actor().name, "scribe");
    assert_eq!(principal.actor().kind, ActorKind::Agent);
    assert_eq!(principal.for_user(), Some("alice"));
    assert_eq!(
        principal.model().map(|model| model.name.as_str()),
        Some("vendor/model-1")
    );
    assert_eq!(principal.context(), Some("c1"));
    assert_eq!(
        principal.declared().and_then(|d| d.purpose.as_deref()),
        Some("treatment")
    );
    assert!(principal.has_scope(SCOPE));
    assert_eq!(principal.expires_ms(), NOW + LIFETIME_MS_MAX);
}

/// What another issuer said goes with the token, and only our own issuer can put it there.
#[test]
fn what_another_issuer_said_of_the_user_survives_the_mint() {
    let said = |delegated| crate::principal::Asserted {
        delegated,
        issuer: Arc::from("https://login.example/t1"),
        roles: vec!["doctor".into()],
        groups: vec!["corp/staff".into()],
    };
    for delegated in [Delegated::There, Delegated::Here] {
        let token = issuer().mint(&Grant {
            asserted: Some(said(delegated)),
            ..grant()
        });
        let principal = verify(token, NOW).expect("a good token");
        assert_eq!(principal.asserted(), Some(&said(delegated)));
    }
}

#[test]
fn no_grant_outlives_the_limit() {
    let token = issuer().mint(&Grant {
        lifetime_ms: i64::MAX / 2,
        ..grant()
    });
    assert_eq!(
        verify(token, NOW).map(|p| p.expires_ms()),
        Ok(NOW + LIFETIME_MS_MAX)
    );
}

#[test]
fn the_control_forgery_is_accepted_so_that_each_refusal_below_has_one_cause() {
    assert!(verify(signed(&header(""), &claims("")), NOW).is_ok());
    assert!(verify(signed(&header("typ=\"application/at+jwt\""), &claims("")), NOW).is_ok());
    assert!(
        verify(
            signed(
                &header(""),
                &claims("aud=[\"https://x\",\"https://gate.example/mcp\"]")
            ),
            NOW
        )
        .is_ok()
    );
    assert!(
        verify(
            signed(&header(""), &claims(&format!("exp={}.5", NOW / 1000 + 300))),
            NOW
        )
        .is_ok()
    );
}

#[test]
fn faulty_headers_are_refused() {
    use JoseError::*;
    let other = key(2).id().to_owned();
    for (change, expected) in [
        ("alg=\"none\"", Algorithm),
        ("alg=\"NONE\"", Algorithm),
        ("alg=\"None\"", Algorithm),
        ("alg=\"\"", Algorithm),
        ("alg=\"HS256\"", Algorithm),
        ("alg=\"HS512\"", Algorithm),
        ("alg=\"RS256\"", Algorithm),
        ("alg=\"ES256\"", Algorithm),
        ("alg=\"eddsa\"", Algorithm),
        ("alg=\"EdDSA \"", Algorithm),
        ("alg=null", Algorithm),
        ("alg", Algorithm),
        ("kid", UnknownKey),
        ("kid=\"../../etc/passwd\"", UnknownKey),
        ("kid=\"x' OR 1=1 --\"", UnknownKey),
        ("kid=1", UnknownKey),
        ("typ", Type),
        ("typ=\"JWT\"", Type),
        ("typ=\"id+jwt\"", Type),
        ("typ=\"dpop+jwt\"", Type),
        ("typ=\"oauth-id-jag+jwt\"", Type),
        ("jku=\"https://evil.example/keys\"", Header),
        ("x5u=\"https://evil.example/cert\"", Header),
        ("x5c=[\"AA==\"]", Header),
        ("jwk={\"kty\":\"OKP\"}", Header),
        ("crit=[\"exp\"]", Header),
        ("b64=false", Header),
        ("zip=\"DEF\"", Header),
    ] {
        assert_eq!(
            verify(signed(&header(change), &claims("")), NOW),
            Err(TokenError::Jose(expected)),
            "{change}"
        );
    }
    let foreign = header(&format!("kid=\"{other}\""));
    assert_eq!(
        verify(signed(&foreign, &claims("")), NOW),
        Err(TokenError::Jose(UnknownKey))
    );
}

#[test]
fn faulty_claims_are_refused() {
    let seconds = NOW / 1000;
    let at = |name: &str, offset: i64| format!("{name}={}", seconds + offset);
    for (change, expected) in [
        ("iss".to_owned(), TokenError::Issuer),
        ("iss=\"https://gate.example/\"".into(), TokenError::Issuer),
        ("iss=\"https://GATE.example\"".into(), TokenError::Issuer),
        ("iss=\"http://gate.example\"".into(), TokenError::Issuer),
        ("iss=[\"https://gate.example\"]".into(), TokenError::Issuer),
        ("aud".into(), TokenError::Audience),
        ("aud=\"\"".into(), TokenError::Audience),
        ("aud=[]".into(), TokenError::Audience),
        ("aud=\"https://gate.example\"".into(), TokenError::Audience),
        ("aud=\"https://gate.example/\"".into(), TokenError::Audience),
        ("aud=\"https://gate.example/mcp/\"".into(), TokenError::Audience),
        ("aud=\"https://gate.example/mcp2\"".into(), TokenError::Audience),
        ("aud=\"https://gate.example/MCP\"".into(), TokenError::Audience),
        ("aud=\"http://gate.example/mcp\"".into(), TokenError::Audience),
        (
            "aud=\"https://gate.example:443/mcp\"".into(),
            TokenError::Audience,
        ),
        ("aud=\"https://gate.example/mcp?x\"".into(), TokenError::Audience),
        (
            "aud=\"https://gate.example/mcp https://x\"".into(),
            TokenError::Audience,
        ),
        (
            "aud=[\"https://gate.example/mcp\",1]".into(),
            TokenError::Audience,
        ),
        (
            "aud={\"https://gate.example/mcp\":1}".into(),
            TokenError::Audience,
        ),
        ("exp".into(), TokenError::Claim("exp")),
        ("exp=\"9999999999\"".into(), TokenError::Claim("exp")),
        ("exp=null".into(), TokenError::Claim("exp")),
        ("exp=1e300".into(), TokenError::Claim("exp")),
        ("exp=-1".into(), TokenError::Claim("exp")),
        ("exp=99999999999999".into(), TokenError::Claim("exp")),
        (at("exp", -31), TokenError::Expired),
        (at("exp", 3600), TokenError::Lifetime),
        ("iat".into(), TokenError::Claim("iat")),
        ("iat=\"1\"".into(), TokenError::Claim("iat")),
        (at("iat", 120), TokenError::NotYet),
        (at("nbf", 120), TokenError::NotYet),
        ("nbf=\"0\"".into(), TokenError::Claim("nbf")),
        ("nbf=[]".into(), TokenError::Claim("nbf")),
        ("sub".into(), TokenError::Claim("sub")),
        ("sub=\"alice\"".into(), TokenError::Claim("sub")),
        ("sub=5".into(), TokenError::Claim("sub")),
        ("client_id".into(), TokenError::Claim("client_id")),
        ("jti".into(), TokenError::Claim("jti")),
        ("jti=\"\"".into(), TokenError::Claim("jti")),
        ("scope".into(), TokenError::Claim("scope")),
        ("scope=[\"mcp\"]".into(), TokenError::Claim("scope")),
        ("act={\"sub\":\"other\"}".into(), TokenError::Claim("act")),
        (
            "act={\"sub\":\"scribe\",\"act\":{\"sub\":\"x\"}}".into(),
            TokenError::Claim("act"),
        ),
        ("act=\"scribe\"".into(), TokenError::Claim("act")),
        ("io.sallyport".into(), TokenError::Claim("io.sallyport")),
        (
            "io.sallyport={\"kind\":\"root\"}".into(),
            TokenError::Claim("io.sallyport"),
        ),
        (
            "authorization_details={}".into(),
            TokenError::Claim("authorization_details"),
        ),
    ] {
        assert_eq!(
            verify(signed(&header(""), &claims(&change)), NOW),
            Err(expected),
            "{change}"
        );
    }
}

#[test]
fn malformed_serialisations_are_refused() {
    let good = signed(&header(""), &claims(""));
    let parts: Vec<&str> = good.split('.').collect();
    let duplicate = claims("").replace("\"jti\":\"t1\"", "\"jti\":\"t1\",\"jti\":\"t2\"");
    let variant = claims("").replace("\"jti\":\"t1\"", "\"jti\":\"t1\",\"JTI\":\"t2\"");
    for token in [
        String::new(),
        "a".into(),
        "..".into(),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{good}."),
        format!("{good}.x.y"),
        format!(" {good}"),
        format!("{good}="),
        good.replace('.', " ."),
        good.replace('-', "+"),
        format!("{}.{}.{}", parts[0], parts[1], "AAAA"),
        signed(&header(""), &duplicate),
        signed(&header(""), &variant),
        signed(&header(""), "[]"),
        signed(&header(""), "null"),
        signed(
            &header("").replace("\"alg\":", "\"alg\":\"none\",\"alg\":"),
            &claims(""),
        ),
        "x".repeat(20_000),
    ] {
        if token != good {
            assert!(
                matches!(verify(token.clone(), NOW), Err(TokenError::Jose(_))),
                "{token:.80}"
            );
        }
    }
}

#[test]
fn a_key_set_has_no_symmetric_private_or_weak_keys() {
    let read = |jwk: &str| {
        let document = wire::json::Document::parse(
            jwk.as_bytes().to_vec(),
            wire::json::Keys::Exact,
            &wire::bounds::CREDENTIAL,
        )
        .expect("json");
        PublicKey::read(document.root()).map(|key| key.algorithm())
    };
    let x = URL_SAFE_NO_PAD.encode([7u8; 32]);
    assert_eq!(
        read(&format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#)),
        Some(Algorithm::EdDsa)
    );
    assert_eq!(
        read(&format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","d":"{x}"}}"#)),
        None
    );
    assert_eq!(
        read(&format!(
            r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","use":"enc"}}"#
        )),
        None
    );
    assert_eq!(
        read(&format!(
            r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","alg":"HS256"}}"#
        )),
        None
    );
    assert_eq!(read(r#"{"kty":"OKP","crv":"Ed25519","x":"AAAA"}"#), None);
    assert_eq!(read(&format!(r#"{{"kty":"oct","k":"{x}"}}"#)), None);
    let small = URL_SAFE_NO_PAD.encode([0xFFu8; 128]);
    assert_eq!(
        read(&format!(r#"{{"kty":"RSA","n":"{small}","e":"AQAB"}}"#)),
        None
    );
}

#[test]
fn thumbprints_are_those_of_rfc_8037() {
    let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let document =
        wire::json::Document::parse(jwk.into(), wire::json::Keys::Exact, &wire::bounds::CREDENTIAL)
            .expect("json");
    assert_eq!(
        crate::jose::thumbprint(document.root()).as_deref(),
        Some("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")
    );
}

#[test]
fn a_cached_token_still_expires_and_can_be_revoked() {
    let cache = TokenCache::default();
    let token = Secret::presented(issuer().mint(&grant()));
    let principal = Arc::new(verify(token.expose().into(), NOW).expect("good"));
    cache.remember(&resource(), &principal, cache.generation(), NOW);
    assert!(cache.recall(&token, &resource(), NOW).is_some());
    assert!(
        cache.recall(&token, &resource().join("charts"), NOW).is_none(),
        "another audience"
    );
    assert!(
        cache
            .recall(&token, &resource(), NOW + LIFETIME_MS_MAX + SKEW_MS)
            .is_none(),
        "expired"
    );

    cache.remember(&resource(), &principal, cache.generation(), NOW);
    cache.revoke("t1", principal.expires_ms(), NOW);
    assert!(cache.recall(&token, &resource(), NOW).is_none());
    assert!(cache.is_revoked(&principal), "also when it is verified afresh");

    // Verified with keys that went before it could be remembered.
    let cache = TokenCache::default();
    let generation = cache.generation();
    cache.forget_issuer("https://login.example");
    cache.remember(&resource(), &principal, generation, NOW);
    assert!(cache.is_empty(), "a withdrawn key's");

    let cache = TokenCache::default();
    cache.cut_off_client("scribe", NOW);
    assert!(cache.is_revoked(&principal));
    let later = Issuer::mint(
        &issuer(),
        &Grant {
            issued_ms: NOW + 1000,
            token_id: "t2".into(),
            ..grant()
        },
    );
    assert!(
        !cache.is_revoked(&verify(later, NOW + 1000).expect("good")),
        "a newer token is good again"
    );
    let user = Principal {
        actor: Actor {
            kind: ActorKind::User,
            name: "scribe".to_owned(),
        },
        ..(*principal).clone()
    };
    assert!(
        !cache.is_revoked(&user),
        "a user of the same name is somebody else"
    );
}

#[test]
fn tokens_of_an_earlier_key_are_good_and_those_of_a_dropped_key_are_not() {
    let token = issuer().mint(&grant());
    let rotated = Issuer::new("https://gate.example".into(), key(9), vec![key(1).public()]);
    let verify = |keys: KeySet| {
        Verifier::new("https://gate.example".into(), keys)
            .verify(&Secret::presented(token.clone()), &resource(), NOW)
            .map(|_| ())
    };
    assert_eq!(verify(rotated.keys()), Ok(()));
    let dropped = Issuer::new("https://gate.example".into(), key(9), Vec::new());
    assert_eq!(
        verify(dropped.keys()),
        Err(TokenError::Jose(JoseError::UnknownKey))
    );
}

proptest! {
    /// Whatever one byte of a token is changed to, it proves nothing.
    #[test]
    fn a_changed_token_proves_nothing(at in 0usize..400, to in any::<char>()) {
        let good = signed(&header(""), &claims(""));
        let mut chars: Vec<char> = good.chars().collect();
        let at = at % chars.len();
        prop_assume!(chars[at] != to);
        chars[at] = to;
        prop_assert!(verify(chars.into_iter().collect(), NOW).is_err());
    }

    #[test]
    fn no_text_makes_the_verifier_panic(token in ".{0,200}") {
        prop_assert!(verify(token, NOW).is_err());
    }
}
