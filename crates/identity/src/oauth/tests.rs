mod assertions;
mod bearer;
mod exchange;
mod models;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use wire::json::{Document, Keys, Node};

use super::*;
use crate::{
    context::ContextNames,
    jose::{KeySet, SigningKey},
    once::Once,
    principal::{Actor, ActorKind, DeclaredContext, Principal},
    proof::Binding,
    resource::ResourceId,
    secret::{Secret, SecretDigest},
    token::{ClaimPath, Delegates, Issuer, Names, Others, TokenError, Trust, Verifier},
};

const SECRET: &str = "N7vQ2m9xKp4LrT8sWz3Y";
/// The moment at which everything is asked.
const NOW: i64 = 1_800_000_000_000;
const ISSUER: &str = "https://g";
const TOKEN_URL: &str = "https://g/oauth/token";
/// An identity provider, and a platform.
const PROVIDER: &str = "https://login.example/t1";
const DOMAIN: &str = "spiffe://prod.example";

struct World {
    issuer: Issuer,
    secrets: hmac::Key,
    resources: Vec<ResourceId>,
    contexts: ContextNames,
    audiences: Vec<String>,
    used: Once,
    provider: Trust,
    platform: Trust,
    revoked: Option<String>,
    binding: Option<Binding>,
}

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32]).expect("a seed")
}

/// The keys: ours, the client's, the provider's and the platform's.
const OURS: u8 = 1;
const CLIENTS: u8 = 2;
const PROVIDERS: u8 = 3;
const PLATFORMS: u8 = 4;

impl ClientLookup for World {
    fn client(&self, id: &str) -> Option<Client> {
        let known = Client {
            id: id.to_owned(),
            kind: ActorKind::Agent,
            secret: Some(SecretDigest::of(&Secret::presented(SECRET.into()), &self.secrets)),
            keys: None,
            scopes: vec!["mcp".into(), "extra".into()],
            acts_for: vec!["alice".into()],
            acts_for_those: vec!["corp/a".into()],
            model: None,
            tenant: None,
        };
        match id {
            "scribe" => Some(known),
            "signer" => Some(Client {
                secret: None,
                keys: Some(Arc::new(KeySet::of(vec![key(CLIENTS).public()]))),
                acts_for_those: vec!["corp/".into()],
                ..known
            }),
            "tenanted" => Some(Client {
                tenant: Some("corp/t9".into()),
                acts_for: vec!["corp/alice".into()],
                ..known
            }),
            _ => None,
        }
    }
}

impl Vouchers for World {
    fn issuer(&self, name: &str) -> Option<(&Trust, Arc<KeySet>)> {
        let keys = |n| Arc::new(KeySet::of(vec![key(n).public()]));
        match name {
            PROVIDER => Some((&self.provider, keys(PROVIDERS))),
            DOMAIN => Some((&self.platform, keys(PLATFORMS))),
            _ => None,
        }
    }

    fn caller(&self, token: &Secret, audience: &ResourceId, now_ms: i64) -> Result<Principal, TokenError> {
        Verifier::new(ISSUER.into(), self.issuer.keys()).verify(token, audience, now_ms)
    }

    fn is_revoked(&self, principal: &Principal) -> bool {
        self.revoked
            .as_deref()
            .is_some_and(|id| principal.token_id() == Some(id))
    }
}

fn trust(issuer: &str) -> Trust {
    let claim = |name| ClaimPath::parse(name).expect("a claim");
    Trust {
        issuer: Arc::from(issuer),
        also: Vec::new(),
        tenants: Vec::new(),
        typ: "at+jwt".into(),
        audience: None,
        scope: "mcp".into(),
        lifetime_ms_max: 3_600_000,
        clients: BTreeMap::from([(
            "0oa1".to_owned(),
            Actor {
                kind: ActorKind::Agent,
                name: "scribe".into(),
            },
        )]),
        others: Others::TheirUser,
        prefix: "corp/".into(),
        user: claim("sub"),
        roles: Names {
            claim: claim("roles"),
            map: Some(BTreeMap::from([("MCP.Doctor".to_owned(), "doctor".to_owned())])),
        },
        groups: Names {
            claim: claim("groups"),
            map: None,
        },
        tenant: Some(claim("tid")),
        workloads: BTreeMap::new(),
        delegates: Delegates::Believed,
        model: None,
    }
}

fn world() -> World {
    let scribe = Actor {
        kind: ActorKind::Agent,
        name: "scribe".into(),
    };
    World {
        issuer: Issuer::new(ISSUER.into(), key(OURS), Vec::new()),
        secrets: hmac::Key::new(hmac::HMAC_SHA256, b"key"),
        resources: vec![
            ResourceId::parse("https://g/mcp").expect("a resource"),
            ResourceId::parse("https://g/mcp/charts").expect("a resource"),
            ResourceId::parse("https://g/mcp/mail").expect("a resource"),
        ],
        contexts: ContextNames::new(hmac::Key::new(hmac::HMAC_SHA256, b"contexts")),
        audiences: vec![ISSUER.into(), TOKEN_URL.into()],
        used: Once::since(NOW - 10_000),
        provider: trust(PROVIDER),
        platform: Trust {
            workloads: BTreeMap::from([(format!("{DOMAIN}/scribe"), scribe)]),
            delegates: Delegates::Refused,
            model: None,
            tenant: None,
            ..trust(DOMAIN)
        },
        revoked: None,
        binding: None,
    }
}

/// Claims as text, changed: `name=value` replaces or adds a member, `name` alone removes it.
fn changed(members: &[(&str, String)], changes: &[&str]) -> String {
    let mut members: Vec<(String, String)> = members
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    for change in changes {
        let (name, value) = change
            .split_once('=')
            .map_or((*change, None), |(n, v)| (n, Some(v)));
        members.retain(|(member, _)| member != name);
        if let Some(value) = value {
            members.push((name.to_owned(), value.to_owned()));
        }
    }
    let members: Vec<String> = members.iter().map(|(n, v)| format!("\"{n}\":{v}")).collect();
    format!("{{{}}}", members.join(","))
}

fn ask(body: &str, authorization: Option<&str>) -> Result<Granted, OauthError> {
    ask_in(&world(), body, authorization)
}

fn ask_in(world: &World, body: &str, authorization: Option<&str>) -> Result<Granted, OauthError> {
    let may_declare = |_: &Client, declared: &DeclaredContext| match declared.purpose.as_deref() {
        Some("treatment") => Ok(()),
        _ => Err("not a purpose of this agent".to_owned()),
    };
    let endpoint = TokenEndpoint {
        issuer: &world.issuer,
        vouchers: world,
        assertions: Assertions {
            audiences: &world.audiences,
            used: &world.used,
        },
        clients: world,
        secrets: &world.secrets,
        resources: &world.resources,
        contexts: &world.contexts,
        may_declare,
    };
    let form = Form::parse(body.as_bytes())?;
    endpoint.answer(TokenRequest {
        form: &form,
        authorization,
        binding: world.binding.clone(),
        now_ms: NOW,
        token_id: "t".into(),
    })
}

fn granted(body: &str) -> Granted {
    ask(
        &format!("grant_type=client_credentials&client_id=scribe&client_secret={SECRET}{body}"),
        None,
    )
    .expect(body)
}

fn fault(body: &str, authorization: Option<&str>) -> OauthFault {
    ask(body, authorization).expect_err(body).fault
}

#[test]
fn a_client_gets_a_token_for_the_resource_it_names() {
    let plain = granted("");
    assert_eq!(plain.grant.audience.as_str(), "https://g/mcp");
    assert_eq!(
        plain.grant.for_user.as_deref(),
        Some("alice"),
        "the only user it acts for"
    );
    assert_eq!(
        plain.grant.context, None,
        "nothing declared, no context of its own"
    );
    assert_eq!(
        granted("&resource=https://G/mcp/charts/").grant.audience.as_str(),
        "https://g/mcp/charts"
    );
    assert_eq!(granted("&scope=mcp").grant.scopes.len(), 1);
    let basic = format!("Basic {}", STANDARD.encode(format!("scribe:{SECRET}")));
    assert!(ask("grant_type=client_credentials", Some(&basic)).is_ok());
    let body = Document::parse(plain.body, Keys::Exact, &wire::bounds::CREDENTIAL).expect("json");
    assert!(body.root().get("token_type").is_some_and(|t| t.is_str("Bearer")));
    assert_eq!(
        body.root()
            .get("expires_in")
            .and_then(Node::as_number)
            .and_then(|n| n.as_i64()),
        Some(600)
    );
}

#[test]
fn a_declaration_opens_a_context_and_only_a_permitted_one_does() {
    let details = |purpose: &str| {
        form_urlencoded::Serializer::new(String::new())
            .append_pair(
                "authorization_details",
                &format!(r#"[{{"type":"sallyport_context","purpose":"{purpose}"}}]"#),
            )
            .finish()
    };
    let declared = granted(&format!("&{}", details("treatment")));
    let context = declared.grant.context.expect("a context");
    assert_eq!(context, "t", "one that this token opens");
    let base = format!("grant_type=client_credentials&client_id=scribe&client_secret={SECRET}&");
    assert_eq!(
        fault(&(base.clone() + &details("research")), None),
        OauthFault::InvalidAuthorizationDetails
    );
    for bad in [
        "{}",
        "[{}]",
        "[5]",
        r#"[{"type":"payment"}]"#,
        r#"[{"type":"sallyport_context","purpose":5}]"#,
        r#"[{"type":"sallyport_context","unknown":"x"}]"#,
        r#"[{"type":"sallyport_context","purpose":"treatment"},{"type":"sallyport_context","purpose":"treatment"}]"#,
        r#"[{"type":"sallyport_context","purpose":"treatment","entity":"user:bob"}]"#,
        "not json",
    ] {
        let pair = form_urlencoded::Serializer::new(String::new())
            .append_pair("authorization_details", bad)
            .finish();
        assert_eq!(
            fault(&(base.clone() + &pair), None),
            OauthFault::InvalidAuthorizationDetails,
            "{bad}"
        );
    }
}

#[test]
fn requests_that_are_not_exactly_right_are_refused() {
    let good = format!("grant_type=client_credentials&client_id=scribe&client_secret={SECRET}");
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    for (body, authorization, expected) in [
        (String::new(), None, OauthFault::InvalidRequest),
        (
            "grant_type=password&username=a&password=b".into(),
            None,
            OauthFault::UnsupportedGrantType,
        ),
        (
            "grant_type=client_credentials".into(),
            None,
            OauthFault::InvalidClient,
        ),
        (
            "grant_type=client_credentials&client_id=scribe".into(),
            None,
            OauthFault::InvalidClient,
        ),
        (
            "grant_type=client_credentials&client_id=scribe&client_secret=wrong".into(),
            None,
            OauthFault::InvalidClient,
        ),
        (good.replace("scribe", "Scribe"), None, OauthFault::InvalidClient),
        (good.replace("scribe", "nobody"), None, OauthFault::InvalidClient),
        (
            format!("{good}&client_id=scribe"),
            None,
            OauthFault::InvalidRequest,
        ),
        (
            format!("{good}&scope=mcp&scope=admin"),
            None,
            OauthFault::InvalidRequest,
        ),
        (
            good.clone(),
            Some(basic(&format!("scribe:{SECRET}"))),
            OauthFault::InvalidRequest,
        ),
        (
            "grant_type=client_credentials".into(),
            Some(basic("scribe:wrong")),
            OauthFault::InvalidClient,
        ),
        (
            "grant_type=client_credentials".into(),
            Some("Basic !!!".into()),
            OauthFault::InvalidClient,
        ),
        (
            "grant_type=client_credentials".into(),
            Some("Bearer x".into()),
            OauthFault::InvalidClient,
        ),
        (
            "grant_type=client_credentials&client_id=other".into(),
            Some(basic(&format!("scribe:{SECRET}"))),
            OauthFault::InvalidClient,
        ),
        (format!("{good}&scope=admin"), None, OauthFault::InvalidScope),
        (
            format!("{good}&scope=mcp%20admin"),
            None,
            OauthFault::InvalidScope,
        ),
        (format!("{good}&scope=%20"), None, OauthFault::InvalidScope),
        (
            format!("{good}&resource=https://evil/mcp"),
            None,
            OauthFault::InvalidTarget,
        ),
        (
            format!("{good}&resource=https://g"),
            None,
            OauthFault::InvalidTarget,
        ),
        (format!("{good}&resource=mcp"), None, OauthFault::InvalidTarget),
        (format!("{good}&x=%ff"), None, OauthFault::InvalidRequest),
    ] {
        assert_eq!(fault(&body, authorization.as_deref()), expected, "{body}");
    }
}

#[test]
fn an_error_never_repeats_a_secret() {
    let error = ask(
        "grant_type=client_credentials&client_id=scribe&client_secret=hunter2hunter2",
        None,
    )
    .expect_err("wrong secret");
    assert!(
        !String::from_utf8(error.body())
            .expect("utf-8")
            .contains("hunter2")
    );
    assert_eq!(error.status(), 401);
}

#[test]
fn a_challenge_cannot_be_broken_out_of() {
    let challenge = Challenge {
        scheme: "Bearer",
        resource_metadata: "https://g/.well-known/oauth-protected-resource/mcp\r\nX: y".into(),
        scope: "mcp\" evil=\"1".into(),
        error: Some("invalid_token"),
        description: None,
        login: Some(("mfa\", evil=\"1".into(), Some(300))),
    };
    assert_eq!(
        challenge.header(),
        "Bearer error=\"invalid_token\", acr_values=\"mfa, evil=1\", max_age=\"300\", \
         resource_metadata=\"https://g/.well-known/oauth-protected-resource/mcpX: y\", scope=\"mcp evil=1\""
    );
}

#[test]
fn resource_identifiers_have_one_spelling() {
    for (text, expected) in [
        ("HTTPS://Gate.Example/mcp/", Some("https://gate.example/mcp")),
        ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080")),
        ("https://g/mcp?x", None),
        ("https://g/mcp#x", None),
        ("https://u@g/mcp", None),
        ("https://g/../mcp", None),
        ("https://g//mcp", None),
        ("https://g\\mcp", None),
        ("ftp://g/mcp", None),
        ("https:///mcp", None),
        ("/mcp", None),
        ("https://g/m cp", None),
    ] {
        assert_eq!(
            ResourceId::parse(text).ok().as_ref().map(ResourceId::as_str),
            expected,
            "{text}"
        );
    }
}
