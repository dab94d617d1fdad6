//! `private_key_jwt` (RFC 7523 section 2.2).

use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;

fn claims(changes: &[&str]) -> String {
    let seconds = NOW / 1000;
    let members = [
        ("iss", "\"signer\"".to_owned()),
        ("sub", "\"signer\"".to_owned()),
        ("aud", format!("\"{ISSUER}\"")),
        ("iat", seconds.to_string()),
        ("exp", (seconds + 60).to_string()),
        ("jti", "\"a1\"".to_owned()),
    ];
    changed(&members, changes)
}

fn signed(header: &str, claims: &str, by: u8) -> String {
    let text = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = key(by).sign_for_tests(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// As most programs make it: no key named.
const PLAIN: &str = r#"{"alg":"EdDSA","typ":"JWT"}"#;

fn form(assertion: &str) -> String {
    let kind = crate::oauth::assertion::CLIENT_ASSERTION;
    format!("grant_type=client_credentials&client_assertion_type={kind}&client_assertion={assertion}")
}

fn with(header: &str, changes: &[&str]) -> Result<Granted, OauthError> {
    ask(&form(&signed(header, &claims(changes), CLIENTS)), None)
}

#[test]
fn a_client_proves_itself_by_its_key() {
    let granted = with(PLAIN, &[]).expect("a good assertion");
    assert_eq!(granted.grant.actor.name, "signer");
    let named = format!(r#"{{"alg":"EdDSA","kid":"{}"}}"#, key(CLIENTS).id());
    for header in [
        named.as_str(),
        r#"{"alg":"EdDSA"}"#,
        r#"{"alg":"EdDSA","typ":"client-authentication+jwt"}"#,
    ] {
        assert!(with(header, &[]).is_ok(), "{header}");
    }
    for aud in [format!("aud=\"{TOKEN_URL}\""), format!("aud=[\"{ISSUER}\"]")] {
        assert!(with(PLAIN, &[&aud]).is_ok(), "{aud}");
    }
}

/// OA-042: each fault is the client's, and none of them gives a token.
#[test]
fn each_fault_of_a_client_assertion_is_refused() {
    let seconds = NOW / 1000;
    let rows: Vec<(&str, Vec<String>)> = vec![
        (r#"{"alg":"none"}"#, vec![]),
        (r#"{"alg":"HS256","typ":"JWT"}"#, vec![]),
        (r#"{"alg":"ES256","typ":"JWT"}"#, vec![]),
        (r#"{"alg":"EdDSA","typ":"at+jwt"}"#, vec![]),
        (r#"{"alg":"EdDSA","typ":7}"#, vec![]),
        (r#"{"alg":"EdDSA","kid":"other"}"#, vec![]),
        (r#"{"alg":"EdDSA","kid":null}"#, vec![]),
        (r#"{"alg":"EdDSA","jku":"https://evil.example"}"#, vec![]),
        (r#"{"alg":"EdDSA","crit":["exp"]}"#, vec![]),
        (PLAIN, vec!["iss".into()]),
        (PLAIN, vec!["iss=\"scribe\"".into()]),
        (PLAIN, vec!["sub".into()]),
        (PLAIN, vec!["sub=\"scribe\"".into()]),
        (PLAIN, vec!["sub=\"nobody\"".into(), "iss=\"nobody\"".into()]),
        (PLAIN, vec!["aud".into()]),
        (PLAIN, vec!["aud=\"https://g/\"".into()]),
        (PLAIN, vec!["aud=\"https://g/mcp\"".into()]),
        (PLAIN, vec![format!("aud=[\"{ISSUER}\",\"https://other\"]")]),
        (PLAIN, vec!["aud=[]".into()]),
        (PLAIN, vec!["aud={}".into()]),
        (PLAIN, vec!["exp".into()]),
        (PLAIN, vec![format!("exp={}", seconds - 31)]),
        (PLAIN, vec![format!("exp={}", seconds + 3600)]),
        (PLAIN, vec!["exp=\"1800000060\"".into()]),
        (PLAIN, vec!["iat".into()]),
        (PLAIN, vec![format!("iat={}", seconds + 31)]),
        // Made before the gateway began: it may have been used where nobody remembers.
        (PLAIN, vec![format!("iat={}", seconds - 11)]),
        (PLAIN, vec![format!("nbf={}", seconds + 31)]),
        (PLAIN, vec!["jti".into()]),
        (PLAIN, vec!["jti=7".into()]),
        (PLAIN, vec!["jti=\"\"".into()]),
    ];
    for (header, changes) in rows {
        let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
        let refused = with(header, &changes).expect_err("a fault");
        assert_eq!(refused.fault, OauthFault::InvalidClient, "{header} {changes:?}");
    }
    let by_another = ask(&form(&signed(PLAIN, &claims(&[]), PROVIDERS)), None);
    assert!(by_another.is_err(), "another key");
}

#[test]
fn an_assertion_is_used_once_and_in_one_way() {
    let world = world();
    let body = form(&signed(PLAIN, &claims(&[]), CLIENTS));
    assert!(ask_in(&world, &body, None).is_ok());
    let again = ask_in(&world, &body, None).expect_err("a replay");
    assert_eq!(again.fault, OauthFault::InvalidClient);
    // Two clients may give their assertions the same name.
    let other = form(&signed(PLAIN, &claims(&["jti=\"a2\""]), CLIENTS));
    assert!(ask_in(&world, &other, None).is_ok());
    let fresh = form(&signed(PLAIN, &claims(&["jti=\"a3\""]), CLIENTS));
    for (extra, fault) in [
        (format!("&client_secret={SECRET}"), OauthFault::InvalidRequest),
        ("&client_id=scribe".to_owned(), OauthFault::InvalidClient),
    ] {
        let refused = ask(&format!("{fresh}{extra}"), None).expect_err("two ways");
        assert_eq!(refused.fault, fault, "{extra}");
    }
    let basic = format!("Basic {}", STANDARD.encode(format!("scribe:{SECRET}")));
    assert!(ask(&fresh, Some(&basic)).is_err());
    let untyped = fresh.replace("client_assertion_type", "x");
    assert!(ask(&untyped, None).is_err(), "no `client_assertion_type`");
    // Who has a secret and no key cannot sign, and the other way round.
    let wrong = format!("grant_type=client_credentials&client_id=signer&client_secret={SECRET}");
    assert!(ask(&wrong, None).is_err());
}
