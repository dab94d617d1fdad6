//! Tokens of an external issuer, each with one fault, by the issuer's own key: the strongest forger there is.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::*;
use crate::{
    jose::{JoseError, SigningKey},
    proof::Binding,
};

const NOW: i64 = 1_800_000_000_000;

pub(super) fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32]).expect("a seed")
}

pub(super) fn claim(text: &str) -> ClaimPath {
    ClaimPath::parse(text).expect("a claim")
}

pub(super) fn trust() -> Trust {
    let scribe = Actor {
        kind: ActorKind::Agent,
        name: "scribe".into(),
    };
    Trust {
        issuer: Arc::from("https://login.example/t1"),
        also: Vec::new(),
        tenants: Vec::new(),
        typ: "at+jwt".into(),
        audience: None,
        scope: "gateway.use".into(),
        lifetime_ms_max: 3_600_000,
        clients: BTreeMap::from([("0oa1".to_owned(), scribe)]),
        others: Others::Nobody,
        prefix: "corp/".into(),
        user: claim("sub"),
        roles: Names {
            claim: claim("/realm_access/roles"),
            map: Some(BTreeMap::from([("MCP.Doctor".to_owned(), "doctor".to_owned())])),
        },
        groups: Names {
            claim: claim("groups"),
            map: None,
        },
        tenant: Some(claim("tid")),
        workloads: BTreeMap::new(),
        delegates: Delegates::Refused,
        model: None,
    }
}

/// The claims of a good token, changed: `name=value` replaces or adds a member, `name` alone removes it.
pub(super) fn claims(changes: &[&str]) -> String {
    let seconds = NOW / 1000;
    let mut members = vec![
        ("iss".to_owned(), "\"https://login.example/t1\"".to_owned()),
        ("aud".into(), "\"https://gate.example/mcp\"".into()),
        ("client_id".into(), "\"0oa1\"".into()),
        ("sub".into(), "\"alice\"".into()),
        ("iat".into(), seconds.to_string()),
        ("exp".into(), (seconds + 300).to_string()),
        ("jti".into(), "\"t1\"".into()),
        ("scope".into(), "\"gateway.use openid mcp\"".into()),
        ("tid".into(), "\"t1\"".into()),
        ("groups".into(), "[\"staff\"]".into()),
        (
            "realm_access".into(),
            "{\"roles\":[\"MCP.Doctor\",\"admin\"]}".into(),
        ),
    ];
    for change in changes {
        let (name, value) = change
            .split_once('=')
            .map_or((*change, None), |(n, v)| (n, Some(v)));
        members.retain(|(member, _)| member != name);
        members.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }
    let members: Vec<_> = members.iter().map(|(n, v)| format!("\"{n}\":{v}")).collect();
    format!("{{{}}}", members.join(","))
}

pub(super) fn signed(typ: &str, claims: &str, by: &SigningKey) -> String {
    let header = format!(r#"{{"alg":"EdDSA","typ":"{typ}","kid":"{}"}}"#, key(1).id());
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = by.sign_for_tests(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn judged(trust: &Trust, token: String) -> Result<Principal, TokenError> {
    let keys = KeySet::of(vec![key(1).public()]);
    let audience = ResourceId::parse("https://gate.example/mcp").expect("a resource");
    trust.verify(&Secret::presented(token), &keys, &audience, NOW + 1000)
}

fn with(trust: &Trust, changes: &[&str]) -> Result<Principal, TokenError> {
    judged(trust, signed("at+jwt", &claims(changes), &key(1)))
}

#[test]
fn names_of_an_issuer_become_names_here_and_none_of_them_somebody_elses() {
    let principal = with(&trust(), &[]).expect("a good token");
    assert_eq!(principal.actor().name, "scribe");
    assert_eq!(principal.for_user(), Some("corp/alice"));
    assert_eq!(principal.tenant(), Some("corp/t1"));
    let asserted = principal.asserted().expect("an issuer");
    // `admin` stands for nothing, since configuration does not say what for.
    assert_eq!(asserted.roles, ["doctor"]);
    assert_eq!(asserted.groups, ["corp/staff"]);
    // Its scope stands for ours; one that only has the name of ours does not.
    assert!(principal.has_scope(SCOPE) && principal.has_scope("openid"));
    let other = with(&trust(), &["scope=\"mcp openid\""]).expect("a good token");
    assert!(!other.has_scope(SCOPE));
    let machine = with(&trust(), &["sub=\"0oa1\""]).expect("a good token");
    assert_eq!(machine.for_user(), None);
}

#[test]
fn what_providers_call_things_is_understood() {
    let entra = Trust {
        typ: "jwt".into(),
        audience: Some("api://gateway".into()),
        others: Others::TheirUser,
        clients: BTreeMap::new(),
        user: claim("oid"),
        ..trust()
    };
    let token = claims(&[
        "aud=\"api://gateway\"",
        "client_id",
        "azp=\"c\"",
        "scope",
        "scp=\"gateway.use\"",
        "oid=\"o1\"",
    ]);
    let principal = judged(&entra, signed("JWT", &token, &key(1))).expect("a good token");
    assert_eq!(
        (principal.actor().kind, principal.actor().name.as_str()),
        (ActorKind::User, "corp/o1")
    );
    let okta = with(
        &trust(),
        &["client_id", "cid=\"0oa1\"", "scope", "scp=[\"gateway.use\"]"],
    );
    assert!(okta.expect("a good token").has_scope(SCOPE));
    let bound = with(&trust(), &[r#"cnf={"x5t#S256":"abc"}"#]).expect("a good token");
    assert_eq!(bound.binding(), Some(&Binding::Certificate("abc".into())));
    let bound = with(&trust(), &[r#"cnf={"jkt":"abc"}"#]).expect("a good token");
    assert_eq!(bound.binding(), Some(&Binding::Key("abc".into())));
}

/// OA-007 to OA-016 for tokens that are signed as they must be.
#[test]
fn each_fault_is_refused() {
    use TokenError::{Audience, Bound, Claim, Client, Expired, Issuer, Lifetime, NotYet};
    let (late, early, long) = (NOW / 1000 - 31, NOW / 1000 + 62, NOW / 1000 + 3601);
    let now = NOW / 1000;
    let rows: Vec<(String, TokenError)> = [
        // Near misses of the issuer.
        ("iss=\"https://login.example/t1/\"", Issuer),
        ("iss=\"https://login.example/t2\"", Issuer),
        ("iss=\"https://login.example/T1\"", Issuer),
        ("iss=\"https://LOGIN.example/t1\"", Issuer),
        ("iss=\"http://login.example/t1\"", Issuer),
        ("iss=\"https://login.example:443/t1\"", Issuer),
        ("iss=\"https://login.example/t1#\"", Issuer),
        ("iss=\"https://login.example/t1 \"", Issuer),
        ("iss=[\"https://login.example/t1\"]", Issuer),
        ("iss=null", Issuer),
        ("iss", Issuer),
        // Near misses of the audience.
        ("aud=\"https://gate.example/mcp/\"", Audience),
        ("aud=\"https://gate.example/mcp/charts\"", Audience),
        ("aud=\"https://gate.example/MCP\"", Audience),
        ("aud=\"https://gate.example\"", Audience),
        ("aud=\"http://gate.example/mcp\"", Audience),
        ("aud=\"https://gate.example:443/mcp\"", Audience),
        ("aud=\"https://gate.example.attacker.example/mcp\"", Audience),
        ("aud=\"https://gate.example/mcp?\"", Audience),
        ("aud=\"https://other.example/mcp\"", Audience),
        ("aud=[]", Audience),
        ("aud=[\"https://gate.example/mcp\",1]", Audience),
        ("aud={\"https://gate.example/mcp\":true}", Audience),
        ("aud=null", Audience),
        ("aud", Audience),
        // Times.
        ("exp", Claim("exp")),
        ("exp=\"9999999999\"", Claim("exp")),
        ("exp=null", Claim("exp")),
        ("exp=-1", Claim("exp")),
        ("exp=1e12", Claim("exp")),
        ("exp=99999999999999", Claim("exp")),
        ("iat", Claim("iat")),
        ("iat=\"0\"", Claim("iat")),
        ("nbf=\"0\"", Claim("nbf")),
        ("nbf=true", Claim("nbf")),
        // Who.
        ("client_id", Claim("client_id")),
        ("client_id=1", Claim("client_id")),
        ("client_id=\"\"", Claim("client_id")),
        ("client_id=\"scribe\"", Client),
        ("client_id=\"0OA1\"", Client),
        ("azp=\"another\"", Claim("azp")),
        ("appid=\"another\"", Claim("appid")),
        ("sub", Claim("sub")),
        ("sub=1", Claim("sub")),
        ("sub=\"\"", Claim("sub")),
        ("sub=\"ali\\nce\"", Claim("sub")),
        ("act={\"sub\":\"another\"}", Claim("act")),
        ("act={\"sub\":\"0oa1\",\"act\":{\"sub\":\"x\"}}", Claim("act")),
        ("act=\"0oa1\"", Claim("act")),
        ("tid", Claim("tenant")),
        ("tid=[\"t1\"]", Claim("tenant")),
        // What for.
        ("scope=[\"gateway.use\"]", Claim("scope")),
        ("scope=null", Claim("scope")),
        ("scp=\"gateway.use\"", Claim("scp")),
        ("groups=[1]", Claim("groups")),
        ("groups={\"staff\":true}", Claim("groups")),
        ("realm_access={\"roles\":[null]}", Claim("roles")),
        // Of another kind: ID tokens, and tokens bound in ways that are not checked.
        ("nonce=\"n\"", Claim("nonce")),
        ("at_hash=\"h\"", Claim("at_hash")),
        ("c_hash=\"h\"", Claim("c_hash")),
        ("cnf={\"jkt\":\"\"}", Claim("cnf")),
        ("cnf={\"jwk\":{}}", Bound),
        ("cnf={}", Bound),
        ("cnf=null", Bound),
        ("cnf={\"x5t#S256\":\"abc\",\"jkt\":\"abc\"}", Bound),
        ("cnf={\"x5t#S256\":1}", Claim("cnf")),
        ("jti=1", Claim("jti")),
    ]
    .into_iter()
    .map(|(change, error)| (change.to_owned(), error))
    .chain([
        (format!("exp={late}"), Expired),
        (format!("nbf={early}"), NotYet),
        (format!("iat={early}"), NotYet),
        (format!("exp={long}"), Lifetime),
        (format!("exp={now}.5e3"), Claim("exp")),
    ])
    .collect();
    assert!(rows.len() > 65, "{}", rows.len());
    for (change, error) in rows {
        assert_eq!(with(&trust(), &[&change]).expect_err(&change), error, "{change}");
    }
}

#[test]
fn keys_types_and_members_that_are_not_the_issuers_are_refused() {
    let good = claims(&[]);
    for typ in [
        "JWT",
        "at+jwt ",
        "application/jwt",
        "dpop+jwt",
        "oauth-id-jag+jwt",
        "logout+jwt",
        "",
    ] {
        let found = judged(&trust(), signed(typ, &good, &key(1))).expect_err(typ);
        assert_eq!(found, TokenError::Jose(JoseError::Type), "{typ}");
    }
    // The same key id, and another issuer's key.
    let foreign = judged(&trust(), signed("at+jwt", &good, &key(2))).expect_err("a foreign key");
    assert_eq!(foreign, TokenError::Jose(JoseError::Signature));
    for twice in [
        "\"sub\":\"bob\"",
        "\"Sub\":\"bob\"",
        "\"ISS\":\"x\"",
        "\"aud\":\"x\"",
    ] {
        let twice = format!("{},{twice}}}", good.trim_end_matches('}'));
        let token = signed("at+jwt", &twice, &key(1));
        assert_eq!(
            judged(&trust(), token).expect_err(&twice),
            TokenError::Jose(JoseError::Malformed)
        );
    }
}

#[test]
fn an_address_nobody_checked_names_nobody() {
    // Two spellings of one claim.
    for user in ["email", "/email"] {
        an_address_counts_only_if_it_was_checked(user);
    }
}

fn an_address_counts_only_if_it_was_checked(user: &str) {
    let trust = Trust {
        user: claim(user),
        ..trust()
    };
    let email = "email=\"alice@corp.example\"";
    for unchecked in [
        vec![email],
        vec![email, "email_verified=false"],
        vec![email, "email_verified=\"true\""],
    ] {
        let found = with(&trust, &unchecked).expect_err("an unchecked address");
        assert_eq!(found, TokenError::Claim("email_verified"));
    }
    let principal = with(&trust, &[email, "email_verified=true"]).expect("a good token");
    assert_eq!(principal.for_user(), Some("corp/alice@corp.example"));
}
