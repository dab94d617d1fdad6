//! RFC 7523 section 2.1: identity assertions (ID-JAG), and workloads.

use super::*;
use crate::jose::sign;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

fn jag(changes: &[&str]) -> String {
    let seconds = NOW / 1000;
    let members = [
        ("iss", format!("\"{PROVIDER}\"")),
        ("aud", format!("\"{ISSUER}\"")),
        ("client_id", "\"scribe\"".to_owned()),
        ("sub", "\"alice\"".to_owned()),
        ("jti", "\"j1\"".to_owned()),
        ("iat", seconds.to_string()),
        ("exp", (seconds + 300).to_string()),
        ("scope", "\"mcp\"".to_owned()),
        ("roles", "[\"MCP.Doctor\"]".to_owned()),
        ("tid", "\"t1\"".to_owned()),
    ];
    changed(&members, changes)
}

fn delegated(world: &World, typ: &str, claims: &str, more: &str) -> Result<Granted, OauthError> {
    let assertion = sign(&key(PROVIDERS), typ, claims.as_bytes());
    let body =
        format!("grant_type={GRANT}&client_id=scribe&client_secret={SECRET}&assertion={assertion}{more}");
    ask_in(world, &body, None)
}

const ID_JAG: &str = "oauth-id-jag+jwt";

#[test]
fn the_provider_says_for_whom_a_client_acts() {
    let granted = delegated(&world(), ID_JAG, &jag(&[]), "").expect("a grant").grant;
    assert_eq!(granted.for_user.as_deref(), Some("corp/alice"));
    assert_eq!(granted.tenant.as_deref(), Some("corp/t1"));
    assert_eq!(
        granted.scopes,
        BTreeSet::from(["mcp".to_owned()]),
        "what both have"
    );
    let said = granted.asserted.expect("what was said");
    assert_eq!(said.roles, ["doctor"]);
    let charts = jag(&["resource=\"https://g/mcp/charts\""]);
    let granted = delegated(&world(), ID_JAG, &charts, "").expect("a grant").grant;
    assert_eq!(granted.audience.as_str(), "https://g/mcp/charts");
}

#[test]
fn each_fault_of_an_identity_assertion_is_refused() {
    use OauthFault::{InvalidGrant, InvalidScope, InvalidTarget};
    let seconds = NOW / 1000;
    let rows: Vec<(&str, Vec<String>, &str, OauthFault)> = vec![
        ("at+jwt", vec![], "", InvalidGrant),
        ("JWT", vec![], "", InvalidGrant),
        (
            ID_JAG,
            vec!["iss=\"https://evil.example\"".into()],
            "",
            InvalidGrant,
        ),
        (ID_JAG, vec![format!("iss=\"{DOMAIN}\"")], "", InvalidGrant),
        (ID_JAG, vec!["aud=\"https://g/mcp\"".into()], "", InvalidGrant),
        (ID_JAG, vec![format!("aud=\"{TOKEN_URL}\"")], "", InvalidGrant),
        (
            ID_JAG,
            vec![format!("aud=[\"{ISSUER}\",\"x\"]")],
            "",
            InvalidGrant,
        ),
        (ID_JAG, vec!["client_id=\"other\"".into()], "", InvalidGrant),
        (ID_JAG, vec!["client_id".into()], "", InvalidGrant),
        (ID_JAG, vec!["sub".into()], "", InvalidGrant),
        (ID_JAG, vec!["sub=\"scribe\"".into()], "", InvalidGrant),
        (ID_JAG, vec!["jti".into()], "", InvalidGrant),
        (ID_JAG, vec!["iat".into()], "", InvalidGrant),
        (ID_JAG, vec![format!("iat={}", seconds - 20)], "", InvalidGrant),
        (ID_JAG, vec![format!("exp={}", seconds - 40)], "", InvalidGrant),
        (ID_JAG, vec![format!("exp={}", seconds + 3600)], "", InvalidGrant),
        (ID_JAG, vec!["tid".into()], "", InvalidGrant),
        (ID_JAG, vec!["act={\"sub\":\"other\"}".into()], "", InvalidGrant),
        (ID_JAG, vec!["cnf={\"jkt\":\"k\"}".into()], "", InvalidGrant),
        (ID_JAG, vec!["scope=\"other\"".into()], "", InvalidScope),
        (ID_JAG, vec![], "&scope=extra", InvalidScope),
        (
            ID_JAG,
            vec!["resource=\"https://other/mcp\"".into()],
            "",
            InvalidTarget,
        ),
        (
            ID_JAG,
            vec!["resource=\"https://g/mcp/charts\"".into()],
            "&resource=https://g/mcp",
            InvalidTarget,
        ),
    ];
    for (typ, changes, more, fault) in rows {
        let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
        let refused = delegated(&world(), typ, &jag(&changes), more).expect_err("a fault");
        assert_eq!(refused.fault, fault, "{typ} {changes:?} {more}: {refused}");
    }
    let not_asked = World {
        provider: Trust {
            delegates: Delegates::Refused,
            model: None,
            ..trust(PROVIDER)
        },
        ..world()
    };
    assert!(
        delegated(&not_asked, ID_JAG, &jag(&[]), "").is_err(),
        "not said in configuration"
    );
}

#[test]
fn an_identity_assertion_is_used_once() {
    let world = world();
    assert!(delegated(&world, ID_JAG, &jag(&[]), "&scope=extra").is_err());
    assert!(
        delegated(&world, ID_JAG, &jag(&[]), "").is_ok(),
        "what was refused was not used"
    );
    let again = delegated(&world, ID_JAG, &jag(&[]), "").expect_err("a replay");
    assert_eq!(again.fault, OauthFault::InvalidGrant);
}

fn svid(changes: &[&str]) -> String {
    let seconds = NOW / 1000;
    let members = [
        ("sub", format!("\"{DOMAIN}/scribe\"")),
        ("aud", format!("[\"{TOKEN_URL}\"]")),
        ("exp", (seconds + 300).to_string()),
    ];
    changed(&members, changes)
}

fn workload(claims: &str, by: u8, more: &str) -> Result<Granted, OauthError> {
    let assertion = sign(&key(by), "JWT", claims.as_bytes());
    ask(&format!("grant_type={GRANT}&assertion={assertion}{more}"), None)
}

#[test]
fn a_workload_needs_no_secret_besides_its_platforms_token() {
    let granted = workload(&svid(&[]), PLATFORMS, "").expect("a grant").grant;
    assert_eq!(
        (granted.actor.name.as_str(), granted.for_user.as_deref()),
        ("scribe", Some("alice"))
    );
    assert!(granted.asserted.is_none());
    let named = svid(&[&format!("iss=\"{DOMAIN}\"")]);
    assert!(workload(&named, PLATFORMS, "&client_id=scribe").is_ok());
}

/// OA-050.
#[test]
fn each_fault_of_a_workloads_token_is_refused() {
    let seconds = NOW / 1000;
    let rows: Vec<Vec<String>> = vec![
        vec!["sub".into()],
        vec![format!("sub=\"{DOMAIN}/other\"")],
        vec![format!("sub=\"{DOMAIN}/scribe/\"")],
        vec![format!("sub=\"{DOMAIN}x/scribe\"")],
        vec!["sub=\"spiffe://PROD.example/scribe\"".into()],
        vec![format!("iss=\"{PROVIDER}\"")],
        vec!["iss=\"https://evil.example\"".into()],
        vec!["iss=7".into()],
        vec!["aud".into()],
        vec!["aud=\"https://g/mcp\"".into()],
        vec![format!("aud=[\"{TOKEN_URL}\",\"https://other\"]")],
        vec!["exp".into()],
        vec![format!("exp={}", seconds - 31)],
        vec![format!("exp={}", seconds + 7200)],
        vec![format!("nbf={}", seconds + 31)],
        vec![format!("iat={}", seconds + 31)],
        vec!["cnf={\"jkt\":\"k\"}".into()],
    ];
    for changes in rows {
        let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
        let refused = workload(&svid(&changes), PLATFORMS, "").expect_err("a fault");
        assert_eq!(refused.fault, OauthFault::InvalidGrant, "{changes:?}");
    }
    assert!(workload(&svid(&[]), PROVIDERS, "").is_err(), "another key");
    assert!(
        workload(&svid(&[]), PLATFORMS, "&client_id=signer").is_err(),
        "another client"
    );
    // An access token of ours, or of a provider's, is no assertion.
    let token = sign(&key(PLATFORMS), "at+jwt", svid(&[]).as_bytes());
    assert!(ask(&format!("grant_type={GRANT}&assertion={token}"), None).is_err());
}
