//! What is said of the model behind an agent: by itself, and by who vouches for it.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::{
    model::{Model, ModelSource},
    oauth::assertion::CLIENT_ASSERTION,
    token::{ModelClaims, SCOPE},
};

const HOUR_S: i64 = 3600;

fn jws(header: &str, claims: &str, by: u8) -> String {
    let text = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = key(by).sign_for_tests(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn header(typ: &str, by: u8) -> String {
    format!(r#"{{"alg":"EdDSA","kid":"{}","typ":"{typ}"}}"#, key(by).id())
}

fn declaration(changes: &[&str]) -> String {
    let seconds = NOW / 1000;
    let members = [
        ("sub", "\"signer\"".to_owned()),
        ("aud", format!("\"{ISSUER}\"")),
        ("iat", seconds.to_string()),
        ("exp", (seconds + HOUR_S).to_string()),
        ("model", "\"vendor/large\"".to_owned()),
    ];
    changed(&members, changes)
}

/// A token for `signer`, which declares this.
fn declaring(declaration: &str) -> Result<Granted, OauthError> {
    let seconds = NOW / 1000;
    let claims = format!(
        r#"{{"iss":"signer","sub":"signer","aud":"{ISSUER}","iat":{seconds},"exp":{},"jti":"a1"}}"#,
        seconds + 60
    );
    let assertion = jws(r#"{"alg":"EdDSA"}"#, &claims, CLIENTS);
    let form = format!(
        "grant_type=client_credentials&client_assertion_type={CLIENT_ASSERTION}&client_assertion={assertion}\
         &model_declaration={declaration}"
    );
    ask(&form, None)
}

fn proven(granted: &Granted) -> Principal {
    let body = Document::parse(granted.body.clone(), Keys::Exact, &wire::bounds::CREDENTIAL).expect("JSON");
    let token = body
        .root()
        .get("access_token")
        .and_then(Node::as_str)
        .expect("a token");
    let token = Secret::presented(token.into_owned());
    let audience = ResourceId::parse("https://g/mcp").expect("a resource");
    let verifier = Verifier::new(ISSUER.into(), world().issuer.keys());
    verifier.verify(&token, &audience, NOW).expect("a good token")
}

#[test]
fn two_models_of_one_provider_are_two_principals() {
    let typ = header("sallyport-model+jwt", CLIENTS);
    let of = |changes: &[&str]| proven(&declaring(&jws(&typ, &declaration(changes), CLIENTS)).expect("good"));
    let (large, small) = (of(&[]), of(&["model=\"vendor/small\""]));
    let newer = of(&["version=\"2\""]);
    assert!(large.has_scope(SCOPE));
    let said = large.model().expect("a model");
    assert_eq!(
        (said.name.as_str(), said.source),
        ("vendor/large", ModelSource::Declared)
    );
    assert_eq!(
        newer.model().and_then(|model| model.version.as_deref()),
        Some("2")
    );
    let keys = [large.key(), small.key(), newer.key()];
    assert_eq!(BTreeSet::from(keys.clone()).len(), 3, "{keys:?}");
    assert_eq!(large.actor(), small.actor());
    let holders = [large.holder(), small.holder(), newer.holder()];
    assert_eq!(
        BTreeSet::from(holders).len(),
        1,
        "naming more models gives no more room"
    );
}

#[test]
fn declarations_that_are_wrong_give_no_token() {
    let typ = header("sallyport-model+jwt", CLIENTS);
    let seconds = NOW / 1000;
    let times = [
        format!("exp={}", seconds - 31),
        format!("exp={}", seconds + 25 * HOUR_S),
        format!("iat={}", seconds + 40),
    ];
    for changes in [
        vec!["sub=\"scribe\""],
        vec!["sub"],
        vec!["aud=\"https://other.example\""],
        vec!["aud"],
        vec!["exp"],
        vec!["iat"],
        vec![times[0].as_str()],
        vec![times[1].as_str()],
        vec![times[2].as_str()],
        vec!["model"],
        vec!["model=7"],
        vec!["model=\"\""],
        vec!["model=\"a\\u0000b\""],
        vec!["version=7"],
    ] {
        let refused = declaring(&jws(&typ, &declaration(&changes), CLIENTS)).expect_err("a fault");
        assert_eq!(refused.fault, OauthFault::InvalidRequest, "{changes:?}");
    }
    let good = declaration(&[]);
    for (what, forged) in [
        ("by another key", jws(&typ, &good, OURS)),
        (
            "by another key that says so",
            jws(&header("sallyport-model+jwt", OURS), &good, OURS),
        ),
        ("of another type", jws(&header("JWT", CLIENTS), &good, CLIENTS)),
        ("unsigned", format!("{}..", URL_SAFE_NO_PAD.encode(&good))),
        ("no JWS", "x".to_owned()),
    ] {
        declaring(&forged).expect_err(what);
    }
    // Whoever has no key has nothing to declare with.
    let declaration = jws(&typ, &declaration(&["sub=\"scribe\""]), CLIENTS);
    let by_secret = format!(
        "grant_type=client_credentials&client_id=scribe&client_secret={SECRET}&model_declaration={declaration}"
    );
    ask(&by_secret, None).expect_err("no key");
}

#[test]
fn a_platform_attests_the_model() {
    let claim = |name| ClaimPath::parse(name).expect("a claim");
    let world = World {
        platform: Trust {
            model: Some(ModelClaims {
                name: claim("/model/name"),
                version: Some(claim("/model/version")),
            }),
            ..world().platform
        },
        ..world()
    };
    let seconds = NOW / 1000;
    let token = |model: &str| {
        let claims = format!(
            r#"{{"sub":"{DOMAIN}/scribe","aud":"{ISSUER}","iat":{seconds},"exp":{}{model}}}"#,
            seconds + 60
        );
        jws(&header("JWT", PLATFORMS), &claims, PLATFORMS)
    };
    let ask = |model: &str| {
        let form = format!(
            "grant_type={}&assertion={}",
            crate::oauth::bearer::GRANT,
            token(model)
        );
        ask_in(&world, &form, None)
    };
    let granted = ask(r#","model":{"name":"vendor/large","version":"3"}"#).expect("good");
    let model = proven(&granted).model().cloned().expect("a model");
    assert_eq!(
        (model.version.as_deref(), model.source),
        (Some("3"), ModelSource::Attested)
    );
    // It is to say which model that is, and says nothing, or nonsense.
    for model in [
        "",
        r#","model":{"name":"vendor/large"}"#,
        r#","model":{"name":7,"version":"3"}"#,
    ] {
        ask(model).expect_err("a fault");
    }
}

#[test]
fn nobody_says_it_is_another_model_than_is_known() {
    let model = |name: &str, version: Option<&str>, source| {
        Model::new(name.to_owned(), version.map(str::to_owned), source).expect("a model")
    };
    use ModelSource::{Configured, Declared};
    let known = model("v/large", None, Configured);
    let with_version = model("v/large", Some("1"), Configured);
    let said = |name, version| model(name, version, Declared);
    assert_eq!(said("v/large", None).beside(None).map(|m| m.source), Ok(Declared));
    assert_eq!(said("v/large", None).beside(Some(&known)), Ok(known.clone()));
    assert_eq!(
        said("v/large", Some("2")).beside(Some(&known)),
        Ok(said("v/large", Some("2")))
    );
    assert_eq!(said("v/small", None).beside(Some(&known)), Err(TokenError::Model));
    assert_eq!(
        said("v/large", Some("2")).beside(Some(&with_version)),
        Err(TokenError::Model)
    );
    assert_eq!(
        said("v/large", None).beside(Some(&with_version)),
        Ok(with_version)
    );
}
