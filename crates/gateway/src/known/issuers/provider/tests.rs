use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use identity::{
    Actor, ActorKind, ResourceId, Secret,
    jose::SigningKey,
    token::{ClaimPath, Delegates, Grant, Issuer, Names, Others, Trust},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{PAUSE_MS, Provider, Unproven};
use crate::known::issuers::{Guarded, Network};

const NOW: i64 = 1_800_000_000_000;
const AGE: Duration = Duration::from_secs(600);

/// An HTTP server that answers each path as it is told to, byte for byte.
struct Somebody {
    url: String,
    answers: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Somebody {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let answers: Arc<Mutex<BTreeMap<String, String>>> = Arc::default();
        let served = Arc::clone(&answers);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = [0; 2048];
                let length = stream.read(&mut head).await.unwrap_or(0);
                let head = String::from_utf8_lossy(head.get(..length).unwrap_or_default()).into_owned();
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let answer = served.lock().expect("one at a time").get(&path).cloned();
                let answer =
                    answer.unwrap_or_else(|| "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into());
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { url, answers }
    }

    fn answers(&self, path: &str, answer: String) {
        self.answers
            .lock()
            .expect("one at a time")
            .insert(path.to_owned(), answer);
    }

    fn says(&self, path: &str, body: &str) {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        self.answers(path, head + body);
    }

    /// Says where its keys are, in whoever's name.
    fn metadata(&self, issuer: &str, keys: &str) {
        let body = format!("{{\"issuer\":\"{issuer}\",\"jwks_uri\":\"{keys}\"}}");
        self.says("/.well-known/openid-configuration", &body);
    }

    fn keys(&self, seeds: &[u8]) {
        let keys: Vec<_> = seeds.iter().map(|seed| jwk(*seed)).collect();
        self.says("/jwks", &format!("{{\"keys\":[{}]}}", keys.join(",")));
    }

    fn is_down(&self) {
        self.answers.lock().expect("one at a time").clear();
    }

    fn provider(&self) -> Arc<Provider> {
        let nowhere = |name: &str| Names {
            claim: ClaimPath::parse(name).expect("a claim"),
            map: None,
        };
        let scribe = Actor {
            kind: ActorKind::Agent,
            name: "scribe".into(),
        };
        let trust = Trust {
            issuer: Arc::from(self.url.as_str()),
            also: Vec::new(),
            tenants: Vec::new(),
            typ: "at+jwt".into(),
            audience: None,
            scope: "mcp".into(),
            lifetime_ms_max: 3_600_000,
            clients: BTreeMap::from([("scribe".to_owned(), scribe)]),
            others: Others::Nobody,
            prefix: "corp/".into(),
            user: ClaimPath::parse("sub").expect("a claim"),
            roles: nowhere("roles"),
            groups: nowhere("groups"),
            tenant: None,
            workloads: BTreeMap::new(),
            delegates: Delegates::Refused,
            model: None,
        };
        let guarded = Guarded::new(Network::Private, &[]).expect("a fetcher");
        Arc::new(Provider::new(trust, (None, None), AGE, guarded))
    }

    /// A token of its own.
    fn token(&self, seed: u8, now_ms: i64) -> Secret {
        let grant = Grant {
            actor: Actor {
                kind: ActorKind::Agent,
                name: "scribe".into(),
            },
            for_user: Some("alice".into()),
            tenant: None,
            model: None,
            scopes: BTreeSet::from(["mcp".to_owned()]),
            context: None,
            declared: None,
            audience: resource(),
            token_id: "t1".into(),
            binding: None,
            issued_ms: now_ms,
            lifetime_ms: 300_000,
            asserted: None,
        };
        let issuer = Issuer::new(self.url.clone(), key(seed), Vec::new());
        Secret::presented(issuer.mint(&grant))
    }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32]).expect("a seed")
}

fn jwk(seed: u8) -> String {
    let bytes = wire::json::object(|out| key(seed).write_jwk(out));
    String::from_utf8(bytes).expect("text")
}

fn resource() -> ResourceId {
    ResourceId::parse("https://gate.example/mcp").expect("a resource")
}

/// Whether a token counts, or why not; and whether what was believed before had to be forgotten.
async fn judged(provider: &Arc<Provider>, token: &Secret, now_ms: i64) -> (Result<(), String>, bool) {
    let forgotten = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&forgotten);
    let forget = move |_: &str| told.store(true, Ordering::Relaxed);
    let verified = provider.verify(token, &resource(), now_ms, forget).await;
    let told = verified.map(|_| ()).map_err(|why| match why {
        Unproven::Token(error) => error.to_string(),
        Unproven::Keys(why) => format!("keys: {why}"),
    });
    (told, forgotten.load(Ordering::Relaxed))
}

#[tokio::test]
async fn keys_rotate_without_a_restart_and_are_believed_until_they_are_too_old() {
    let issuer = Somebody::new().await;
    issuer.metadata(&issuer.url, &format!("{}/jwks", issuer.url));
    issuer.keys(&[1]);
    let provider = issuer.provider();
    assert!(!provider.is_fresh(NOW));
    let good = |now_ms| issuer.token(1, now_ms);
    assert_eq!(judged(&provider, &good(NOW), NOW).await, (Ok(()), false));
    // A new key beside the old one; nobody can have the keys fetched at every call.
    issuer.keys(&[1, 2]);
    let (soon, later) = (NOW + PAUSE_MS - 1, NOW + PAUSE_MS);
    let (told, _) = judged(&provider, &issuer.token(2, NOW), soon).await;
    assert!(told.expect_err("fetched too soon").contains("unknown key"));
    assert_eq!(
        judged(&provider, &issuer.token(2, NOW), later).await,
        (Ok(()), false)
    );
    assert_eq!(judged(&provider, &good(NOW), later).await, (Ok(()), false));
    // The old key is gone, and what it vouched for with it.
    issuer.keys(&[2, 3]);
    let now = later + PAUSE_MS;
    assert_eq!(
        judged(&provider, &issuer.token(3, now), now).await,
        (Ok(()), true)
    );
    assert!(judged(&provider, &good(now), now + PAUSE_MS).await.0.is_err());
    // The issuer is down: its keys are believed until they are too old, and again when it is back.
    issuer.is_down();
    let asked = now + PAUSE_MS;
    let limit = asked + i64::try_from(AGE.as_millis()).expect("a time");
    assert!(provider.is_fresh(limit) && !provider.is_fresh(limit + 1));
    assert_eq!(
        judged(&provider, &issuer.token(2, limit), limit).await,
        (Ok(()), false)
    );
    let (told, _) = judged(&provider, &issuer.token(2, limit), limit + 1).await;
    assert!(told.expect_err("keys that are too old").starts_with("keys: "));
    issuer.metadata(&issuer.url, &format!("{}/jwks", issuer.url));
    issuer.keys(&[2]);
    let back = limit + 1 + PAUSE_MS;
    assert_eq!(judged(&provider, &issuer.token(2, back), back).await.0, Ok(()));
}

/// SECURITY.md section 4, OA-045, and what the issue calls bad input.
#[tokio::test]
async fn metadata_and_keys_that_are_not_right_are_of_no_use() {
    let own = |issuer: &Somebody| format!("{}/jwks", issuer.url);
    let metadata = "/.well-known/openid-configuration";
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "[".repeat(600 * 1024));
    type Change = Box<dyn Fn(&Somebody)>;
    let rows: Vec<(&str, Change)> = vec![
        (
            "another issuer",
            Box::new(move |s| s.metadata("https://attacker.example", &own(s))),
        ),
        (
            "another issuer",
            Box::new(move |s| s.metadata(&format!("{}/", s.url), &own(s))),
        ),
        (
            "never reached",
            Box::new(|s| s.metadata(&s.url, "http://169.254.169.254/jwks")),
        ),
        (
            "never reached",
            Box::new(|s| s.metadata(&s.url, "https://[fe80::1]/jwks")),
        ),
        (
            "not https",
            Box::new(|s| s.metadata(&s.url, "http://10.0.0.1/jwks")),
        ),
        (
            "neither https nor http",
            Box::new(|s| s.metadata(&s.url, "ftp://login.example/jwks")),
        ),
        (
            "redirects are not followed",
            Box::new(move |s| {
                let to = format!(
                    "HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n",
                    own(s)
                );
                s.answers(metadata, to);
            }),
        ),
        (
            "no `jwks_uri`",
            Box::new(move |s| s.says(metadata, &format!("{{\"issuer\":\"{}\"}}", s.url))),
        ),
        (metadata, Box::new(move |s| s.says(metadata, "<html>"))),
        ("longer than", {
            let endless = endless.clone();
            Box::new(move |s| s.answers(metadata, endless.clone()))
        }),
        (
            "longer than",
            Box::new(move |s| s.answers("/jwks", endless.clone())),
        ),
        ("no set of keys", Box::new(|s| s.says("/jwks", "[]"))),
        ("no set of keys", Box::new(|s| s.says("/jwks", "{}"))),
        ("no set of keys", Box::new(|s| s.says("/jwks", "{\"keys\":{}}"))),
        ("/jwks", Box::new(|s| s.says("/jwks", "{\"keys\":"))),
        (
            "404",
            Box::new(|s| {
                s.answers(
                    "/jwks",
                    "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into(),
                )
            }),
        ),
    ];
    for (n, (part, change)) in rows.into_iter().enumerate() {
        let issuer = Somebody::new().await;
        issuer.metadata(&issuer.url, &own(&issuer));
        issuer.keys(&[1]);
        change(&issuer);
        let told = judged(&issuer.provider(), &issuer.token(1, NOW), NOW).await.0;
        let told = told.expect_err(part);
        assert!(
            told.starts_with("keys: ") && told.contains(part),
            "{n} {part}: {told}"
        );
    }
}

/// A set without keys, or without any that could be used, is one: what was believed before is believed no longer.
#[tokio::test]
async fn an_issuer_can_withdraw_all_its_keys() {
    for none in [
        "{\"keys\":[]}",
        "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"k\",\"k\":\"AAAA\"}]}",
    ] {
        let issuer = Somebody::new().await;
        issuer.metadata(&issuer.url, &format!("{}/jwks", issuer.url));
        issuer.keys(&[1]);
        let provider = issuer.provider();
        let good = issuer.token(1, NOW);
        assert_eq!(judged(&provider, &good, NOW).await, (Ok(()), false));
        issuer.says("/jwks", none);
        let now = NOW + PAUSE_MS;
        // Somebody asks with a key that is not known, so the keys are fetched.
        let (told, forgotten) = judged(&provider, &issuer.token(2, now), now).await;
        assert!(told.is_err() && forgotten, "{none}: {told:?}");
        let (told, _) = judged(&provider, &good, now).await;
        assert!(told.expect_err(none).contains("unknown key"), "{none}");
    }
}

/// Somebody who hangs up while keys are fetched: they are fetched nevertheless, for all the others.
#[tokio::test]
async fn a_client_that_hangs_up_does_not_stop_the_fetch() {
    let issuer = Somebody::new().await;
    issuer.metadata(&issuer.url, &format!("{}/jwks", issuer.url));
    issuer.keys(&[1]);
    let provider = issuer.provider();
    let (token, audience) = (issuer.token(1, NOW), resource());
    tokio::select! {
        biased;
        _ = provider.verify(&token, &audience, NOW, |_: &str| {}) => panic!("it was there at once"),
        () = tokio::task::yield_now() => {}
    }
    for _ in 0..500 {
        if provider.is_fresh(NOW) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the keys never came");
}

/// What is wrong at the first place says nothing about the next.
#[tokio::test]
async fn a_wrong_answer_at_one_place_does_not_end_the_search() {
    let others = "{\"issuer\":\"https://attacker.example\",\"jwks_uri\":\"https://attacker.example/jwks\"}";
    for wrong in ["<html>", "{}", "[]", others] {
        let issuer = Somebody::new().await;
        issuer.says("/.well-known/oauth-authorization-server", wrong);
        issuer.metadata(&issuer.url, &format!("{}/jwks", issuer.url));
        issuer.keys(&[1]);
        let told = judged(&issuer.provider(), &issuer.token(1, NOW), NOW).await.0;
        assert_eq!(told, Ok(()), "{wrong}");
    }
}
