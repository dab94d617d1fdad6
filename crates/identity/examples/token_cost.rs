//! What it costs in CPU time to know who asks: a token checked for the first time, and each time after.
//!
//! `cargo run --release -p identity --example token_cost`. CPU time is read from `/proc/thread-self/schedstat` around
//! batches; the median batch is printed.

use std::{
    cell::Cell,
    collections::BTreeSet,
    hint::black_box,
    io::{self, Write},
    sync::Arc,
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use identity::{
    Actor, ActorKind, ResourceId, Secret,
    assertion::{ClientKey, Proving},
    jose::{Compact, KeySet, SigningKey},
    proof::{self, Proofs},
    token::{Grant, Issuer, LIFETIME_MS_MAX, SCOPE, TokenCache, Verifier},
};
use wire::{
    bounds::REQUEST,
    json::{Document, Keys},
};

const NOW: i64 = 1_790_000_000_000;
/// CPU time between two readings of the clock, which the kernel advances in steps of up to 4 ms.
const BATCH_US: f64 = 20_000.0;
/// Readings; their median is printed.
const BATCHES: usize = 41;

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    let audience = ResourceId::parse("https://gate.example/mcp").map_err(io::Error::other)?;
    let key = SigningKey::from_seed(&[7; 32]).ok_or_else(|| io::Error::other("no key"))?;
    let issuer = Issuer::new("https://gate.example".to_owned(), key, Vec::new());
    let token = Secret::presented(issuer.mint(&grant(&audience)));
    let verifier = Verifier::new(issuer.id().to_owned(), issuer.keys());
    let verify = || verifier.verify(&token, &audience, NOW);
    let principal = Arc::new(verify().map_err(io::Error::other)?);
    let first = median(|| drop(black_box(verify())))?;
    writeln!(
        out,
        "a token of the gateway's own (EdDSA), first time {first:>8.2} us"
    )?;

    let (rsa, keys) = rsa_token()?;
    let check = || Compact::parse(&rsa, "at+jwt").and_then(|token| token.verify(&keys));
    check().map_err(io::Error::other)?;
    let first = median(|| drop(black_box(check())))?;
    writeln!(
        out,
        "signature of an external one (RS256), first time {first:>8.2} us"
    )?;

    let cache = TokenCache::default();
    cache.remember(&audience, &principal, cache.generation(), NOW);
    let recall = || {
        let known = cache.recall(&token, &audience, NOW);
        known.filter(|principal| !cache.is_revoked(principal))
    };
    recall().ok_or_else(|| io::Error::other("it was forgotten"))?;
    let again = median(|| drop(black_box(recall())))?;
    writeln!(
        out,
        "either, each time after: digest, look-up, revocation {again:>4.2} us"
    )?;

    let client = ClientKey::generate().map_err(io::Error::other)?;
    let proofs = Proofs::since(NOW - 60_000);
    let number = Cell::new(0_u64);
    let made = |id: &str| {
        let proving = Proving {
            method: "POST",
            url: "https://gate.example/mcp",
            token: Some(&token),
            nonce: None,
            id,
            now_ms: NOW,
        };
        client.proof(&proving)
    };
    let next = || {
        number.set(number.get() + 1);
        made(&number.get().to_string())
    };
    let making = median(|| drop(black_box(next())))?;
    let shown = proof::Request {
        method: "POST",
        url: "https://gate.example/mcp",
        token: Some(&token),
        nonces: None,
    };
    let both = median(|| {
        let proven = next()
            .ok()
            .and_then(|proof| proof::check(&proof, shown, NOW).ok());
        let _ = black_box(proven.map(|proven| proofs.take(&proven, NOW)));
    })?;
    writeln!(
        out,
        "a proof of possession (DPoP, ES256), each time {:>8.2} us",
        both - making
    )
}

fn grant(audience: &ResourceId) -> Grant {
    Grant {
        actor: Actor {
            kind: ActorKind::Agent,
            name: "scribe".into(),
        },
        for_user: Some("alice".into()),
        tenant: None,
        model: None,
        scopes: BTreeSet::from([SCOPE.to_owned()]),
        context: None,
        declared: None,
        audience: audience.clone(),
        token_id: "t1".into(),
        binding: None,
        issued_ms: NOW,
        lifetime_ms: LIFETIME_MS_MAX,
        asserted: None,
    }
}

/// A token with a key of 2048 bits, as most providers sign theirs.
fn rsa_token() -> io::Result<(String, KeySet)> {
    let key = KeyPair::generate(KeySize::Rsa2048).map_err(io::Error::other)?;
    let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    // SEQUENCE { INTEGER, INTEGER }: 2,048 bits behind a zero byte, and 65,537.
    let der = key.public_key().as_ref();
    let (n, e) = (
        der.get(9..265).unwrap_or_default(),
        der.get(267..).unwrap_or_default(),
    );
    let jwks = format!(
        r#"{{"keys":[{{"kty":"RSA","kid":"k1","alg":"RS256","n":"{}","e":"{}"}}]}}"#,
        number(n),
        number(e)
    );
    let document = Document::parse(jwks.into_bytes(), Keys::Exact, &REQUEST).map_err(io::Error::other)?;
    let keys = KeySet::read(document.root()).ok_or_else(|| io::Error::other("no keys"))?;
    let claims = r#"{"iss":"https://login.example/t1","sub":"alice","aud":"https://gate.example/mcp","exp":1790000300}"#;
    let header = r#"{"alg":"RS256","typ":"at+jwt","kid":"k1"}"#;
    let signed = format!("{}.{}", number(header.as_bytes()), number(claims.as_bytes()));
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        signed.as_bytes(),
        &mut signature,
    )
    .map_err(io::Error::other)?;
    Ok((format!("{signed}.{}", number(&signature)), keys))
}

/// The median CPU time of one run, in microseconds.
fn median(mut run: impl FnMut()) -> io::Result<f64> {
    let mut batch = 1_u32;
    let mut costs = Vec::new();
    while costs.len() < BATCHES {
        let before = on_cpu_ns()?;
        for _ in 0..batch {
            run();
        }
        let cost = (on_cpu_ns()? - before) / 1000.0;
        if cost < BATCH_US && costs.is_empty() {
            batch = batch.saturating_mul(2);
            continue;
        }
        costs.push(cost / f64::from(batch));
    }
    costs.sort_by(f64::total_cmp);
    Ok(costs.get(BATCHES / 2).copied().unwrap_or_default())
}

fn on_cpu_ns() -> io::Result<f64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = stat.split(' ').next().unwrap_or_default();
    first.parse().map_err(io::Error::other)
}
