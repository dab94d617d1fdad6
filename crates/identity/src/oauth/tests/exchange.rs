//! RFC 8693.

use super::*;
use crate::{
    jose::sign,
    principal::Delegated,
    token::{Grant, LIFETIME_MS_MAX},
};

const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A token of ours: a user's own at `/mcp`.
fn own(change: impl FnOnce(&mut Grant)) -> String {
    let mut grant = Grant {
        actor: Actor {
            kind: ActorKind::User,
            name: "alice".into(),
        },
        for_user: None,
        tenant: None,
        model: None,
        scopes: BTreeSet::from(["mcp".to_owned()]),
        context: None,
        declared: None,
        audience: ResourceId::parse("https://g/mcp").expect("a resource"),
        token_id: "subject".into(),
        binding: None,
        issued_ms: NOW - 60_000,
        lifetime_ms: LIFETIME_MS_MAX,
        asserted: None,
    };
    change(&mut grant);
    world().issuer.mint(&grant)
}

/// A token of the provider's: of a client it does not name here, so it counts as the user's.
fn theirs(changes: &[&str]) -> String {
    let seconds = NOW / 1000;
    let members = [
        ("iss", format!("\"{PROVIDER}\"")),
        ("aud", "\"https://g/mcp\"".to_owned()),
        ("client_id", "\"portal\"".to_owned()),
        ("sub", "\"alice\"".to_owned()),
        ("iat", seconds.to_string()),
        ("exp", (seconds + 300).to_string()),
        ("scope", "\"mcp other\"".to_owned()),
        ("roles", "[\"MCP.Doctor\"]".to_owned()),
        ("tid", "\"t1\"".to_owned()),
    ];
    sign(&key(PROVIDERS), "at+jwt", changed(&members, changes).as_bytes())
}

fn form(client: &str, subject: &str, more: &str) -> String {
    format!(
        "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&client_id={client}&client_secret={SECRET}\
         &subject_token={subject}&subject_token_type={ACCESS}{more}"
    )
}

fn exchanged(client: &str, subject: &str, more: &str) -> Result<Granted, OauthError> {
    ask(&form(client, subject, more), None)
}

#[test]
fn a_client_acts_for_the_user_whose_token_it_has() {
    let granted = exchanged("scribe", &own(|_| {}), "").expect("an exchange");
    let grant = &granted.grant;
    assert_eq!(grant.actor.name, "scribe");
    assert_eq!(grant.for_user.as_deref(), Some("alice"));
    assert_eq!(
        grant.lifetime_ms,
        LIFETIME_MS_MAX - 60_000,
        "as long as the subject's"
    );
    let text = String::from_utf8(granted.body).expect("text");
    assert!(
        text.contains(&format!("\"issued_token_type\":\"{ACCESS}\"")),
        "{text}"
    );
    let narrower = exchanged("scribe", &own(|_| {}), "&resource=https://g/mcp/charts").expect("narrower");
    assert_eq!(narrower.grant.audience.as_str(), "https://g/mcp/charts");
}

#[test]
fn what_the_provider_said_of_its_user_goes_along() {
    let granted = exchanged("scribe", &theirs(&[]), "").expect("an exchange");
    assert_eq!(granted.grant.for_user.as_deref(), Some("corp/alice"));
    let said = granted.grant.asserted.expect("what was said");
    assert_eq!(
        (&*said.issuer, said.roles.as_slice()),
        (PROVIDER, &["doctor".to_owned()][..])
    );
    assert_eq!(
        said.delegated,
        Delegated::Here,
        "by our configuration, not by the provider"
    );
    assert_eq!(
        granted.grant.scopes,
        BTreeSet::from(["mcp".to_owned()]),
        "what both have"
    );
    assert_eq!(granted.grant.lifetime_ms, 300_000);
}

#[test]
fn a_context_stays_with_what_was_exchanged() {
    let declared = DeclaredContext {
        purpose: Some("treatment".into()),
        ..DeclaredContext::default()
    };
    let subject = own(|grant| {
        grant.context = Some("c7".into());
        grant.declared = Some(declared.clone());
    });
    let granted = exchanged("scribe", &subject, "").expect("an exchange").grant;
    assert_eq!(granted.context.as_deref(), Some("c7"));
    assert_eq!(granted.declared, Some(declared));
    let details = r#"&authorization_details=[{"type":"sallyport_context","purpose":"treatment"}]"#;
    assert!(
        exchanged("scribe", &subject, details).is_err(),
        "a context washed off"
    );
    let details = details.replace("}]", r#","task":"t"}]"#);
    let opened = || {
        let granted = exchanged("scribe", &own(|_| {}), &details).expect("a new context");
        granted.grant.context.expect("a context")
    };
    assert_eq!(opened(), opened(), "a new token is in another context");
}

#[test]
fn a_client_narrows_a_token_of_its_own() {
    let subject = own(|grant| {
        grant.actor = Actor {
            kind: ActorKind::Agent,
            name: "scribe".into(),
        };
        grant.for_user = Some("alice".into());
        grant.scopes.insert("extra".into());
    });
    let granted = exchanged("scribe", &subject, "&scope=extra")
        .expect("narrower")
        .grant;
    assert_eq!(granted.scopes, BTreeSet::from(["extra".to_owned()]));
    assert_eq!(granted.for_user.as_deref(), Some("alice"));
}

/// OA-030 to 033: no impersonation, no widening, no other kind of token, no chains.
#[test]
fn an_exchange_gives_nothing_that_did_not_go_in() {
    use OauthFault::{InvalidGrant, InvalidRequest, InvalidScope, InvalidTarget};
    let agent = |name: &str| Actor {
        kind: ActorKind::Agent,
        name: name.into(),
    };
    let charts = ResourceId::parse("https://g/mcp/charts").expect("a resource");
    let at_charts = own(|grant| grant.audience = charts.clone());
    let elsewhere = ResourceId::parse("https://other/mcp").expect("a resource");
    let plain = own(|_| {});
    let rows: Vec<(&str, String, &str, OauthFault)> = vec![
        // Whom the client may not act for, and what was another client's.
        ("scribe", own(|g| g.actor.name = "bob".into()), "", InvalidGrant),
        ("scribe", theirs(&["sub=\"bob\""]), "", InvalidGrant),
        ("scribe", own(|g| g.actor = agent("other")), "", InvalidGrant),
        (
            "scribe",
            own(|g| {
                g.actor = agent("other");
                g.for_user = Some("alice".into());
            }),
            "",
            InvalidGrant,
        ),
        ("tenanted", theirs(&[]), "", InvalidGrant),
        // What the token is not good for.
        (
            "scribe",
            at_charts.clone(),
            "&resource=https://g/mcp",
            InvalidTarget,
        ),
        ("scribe", at_charts, "&resource=https://g/mcp/mail", InvalidTarget),
        (
            "scribe",
            plain.clone(),
            "&resource=https://other/mcp",
            InvalidTarget,
        ),
        ("scribe", plain.clone(), "&scope=extra", InvalidScope),
        ("scribe", plain.clone(), "&scope=admin", InvalidScope),
        (
            "scribe",
            own(|g| g.audience = elsewhere.clone()),
            "",
            InvalidGrant,
        ),
        // Over, bound, not ours, not a token.
        (
            "scribe",
            own(|g| g.issued_ms = NOW - LIFETIME_MS_MAX - 40_000),
            "",
            InvalidGrant,
        ),
        (
            "scribe",
            own(|g| g.issued_ms = NOW - LIFETIME_MS_MAX - 10_000),
            "",
            InvalidGrant,
        ),
        (
            "scribe",
            own(|g| g.binding = Some(Binding::Key("k".into()))),
            "",
            InvalidGrant,
        ),
        (
            "scribe",
            theirs(&["iss=\"https://evil.example\""]),
            "",
            InvalidGrant,
        ),
        (
            "scribe",
            theirs(&["may_act={\"sub\":\"other\"}"]),
            "",
            InvalidGrant,
        ),
        ("scribe", theirs(&["act={\"sub\":\"other\"}"]), "", InvalidGrant),
        ("scribe", theirs(&["nonce=\"n\""]), "", InvalidGrant),
        ("scribe", "a.b.c".into(), "", InvalidGrant),
        // Words the exchange has no ear for.
        ("scribe", plain.clone(), "&actor_token=x", InvalidRequest),
        ("scribe", plain.clone(), "&audience=charts", InvalidRequest),
        (
            "scribe",
            plain,
            "&requested_token_type=urn:ietf:params:oauth:token-type:refresh_token",
            InvalidRequest,
        ),
    ];
    for (client, subject, more, fault) in rows {
        let refused = exchanged(client, &subject, more).expect_err(more);
        assert_eq!(refused.fault, fault, "{client} {more}: {refused}");
    }
    let id_token =
        form("scribe", &own(|_| {}), "").replace(ACCESS, "urn:ietf:params:oauth:token-type:id_token");
    assert_eq!(
        ask(&id_token, None).expect_err("an ID token").fault,
        InvalidRequest
    );
    let nobody = form("scribe", &own(|_| {}), "").replace(SECRET, "wrong-secret-of-20-bytes");
    assert_eq!(
        ask(&nobody, None).expect_err("no client").fault,
        OauthFault::InvalidClient
    );
}

#[test]
fn a_revoked_or_bound_token_is_exchanged_by_nobody_or_its_owner() {
    let revoked = World {
        revoked: Some("subject".into()),
        ..world()
    };
    let refused = ask_in(&revoked, &form("scribe", &own(|_| {}), ""), None).expect_err("revoked");
    assert_eq!(refused.fault, OauthFault::InvalidGrant);
    let bound = World {
        binding: Some(Binding::Key("k".into())),
        ..world()
    };
    let subject = own(|grant| grant.binding = Some(Binding::Key("k".into())));
    let granted = ask_in(&bound, &form("scribe", &subject, ""), None).expect("by its owner");
    assert_eq!(granted.grant.binding, Some(Binding::Key("k".into())));
}
