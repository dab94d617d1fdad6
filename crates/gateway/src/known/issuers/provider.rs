//! One identity provider, and all of them.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use identity::{
    Principal, ResourceId, Secret,
    jose::{KeySet, claimed_key},
    token::{TokenError, Trust},
};
use tokio::sync::Mutex;
use wire::json::Document;

use super::guarded::Guarded;
use crate::outside::oauth::discovery::{self, Metadata};

/// How soon keys are fetched again, whoever shows a token with an unknown one.
const PAUSE_MS: i64 = 10_000;
/// How often keys are fetched when nobody asks.
const REFRESH: Duration = Duration::from_secs(300);

/// One of them.
#[derive(Debug)]
pub(crate) struct Provider {
    trust: Trust,
    /// Where its keys are; otherwise its metadata says.
    jwks: Option<String>,
    /// Where its metadata is; otherwise it is found by its name.
    metadata: Option<String>,
    /// How old keys may be that are believed, in milliseconds.
    age_ms_max: i64,
    guarded: Guarded,
    known: RwLock<Option<Known>>,
    /// When keys were last asked for, and why there were none; held while they are.
    asked: Mutex<Option<(i64, Option<String>)>>,
}

#[derive(Clone, Debug)]
struct Known {
    keys: Arc<KeySet>,
    fetched_ms: i64,
}

/// Why a token proves nothing.
#[derive(Debug)]
pub(crate) enum Unproven {
    /// There is something wrong with it.
    Token(TokenError),
    /// The issuer's keys cannot be had.
    Keys(String),
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Providers(Vec<Arc<Provider>>);

impl Providers {
    pub(crate) fn new(providers: Vec<Provider>) -> Self {
        Self(providers.into_iter().map(Arc::new).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one that goes by this name, letter by letter.
    pub(crate) fn find(&self, issuer: &str) -> Option<&Arc<Provider>> {
        self.0.iter().find(|provider| provider.trust.answers_to(issuer))
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Arc<Provider>] {
        &self.0
    }

    /// Fetches keys anew every now and then; `dropped` is told of an issuer that no longer has all it had.
    pub(crate) async fn keep_fresh(&self, now_ms: impl Fn() -> i64, dropped: impl Fn(&str)) {
        let shortest = self.0.iter().map(|provider| provider.age_ms_max / 3).min();
        let Some(shortest) = shortest else { return };
        let pause = Duration::from_millis(u64::try_from(shortest).unwrap_or(1000)).clamp(
            Duration::from_millis(u64::try_from(PAUSE_MS).unwrap_or(1000)),
            REFRESH,
        );
        loop {
            for provider in &self.0 {
                provider.refresh(now_ms(), &dropped).await;
            }
            tokio::time::sleep(pause).await;
        }
    }
}

impl Provider {
    /// `places` is where its keys are and where its metadata is, as far as configuration says.
    pub(crate) fn new(
        trust: Trust,
        (jwks, metadata): (Option<String>, Option<String>),
        age: Duration,
        guarded: Guarded,
    ) -> Self {
        Self {
            trust,
            jwks,
            metadata,
            age_ms_max: i64::try_from(age.as_millis()).unwrap_or(i64::MAX),
            guarded,
            known: RwLock::default(),
            asked: Mutex::default(),
        }
    }

    /// Whether there are keys that are young enough to believe.
    pub(crate) fn is_fresh(&self, now_ms: i64) -> bool {
        self.young(now_ms).is_some()
    }

    /// What fetches what is its.
    pub(crate) fn guarded(&self) -> &Guarded {
        &self.guarded
    }

    /// What it says of itself, in a name of its own (RFC 8414, OpenID Connect Discovery).
    pub(crate) async fn metadata(&self) -> Result<Metadata, String> {
        let places = match &self.metadata {
            Some(url) => vec![url.clone()],
            None => discovery::well_known(&self.trust.issuer),
        };
        discovery::search(&self.guarded, places, |document| self.own(document)).await
    }

    /// Somebody else's metadata would bring somebody else's keys.
    fn own(&self, document: &Document) -> Result<Metadata, String> {
        let named = discovery::text(document.root(), "issuer").unwrap_or_default();
        if self.trust.answers_to(&named) {
            return discovery::read_metadata(document, &named);
        }
        let shown = discovery::shown(&named);
        Err(format!(
            "it is the metadata of another issuer, `{shown}`; if that is the same one, say so: `also: [\"{shown}\"]`"
        ))
    }

    /// What is believed of it.
    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Checks a token.
    pub(crate) async fn verify(
        self: &Arc<Self>,
        token: &Secret,
        audience: &ResourceId,
        now_ms: i64,
        dropped: impl Fn(&str) + Send + 'static,
    ) -> Result<Principal, Unproven> {
        let keys = self
            .keys(token.expose(), now_ms, dropped)
            .await
            .map_err(Unproven::Keys)?;
        self.trust
            .verify(token, &keys, audience, now_ms)
            .map_err(Unproven::Token)
    }

    /// The keys to check a token with: those that are known, or new ones if it names another.
    pub(crate) async fn keys(
        self: &Arc<Self>,
        token: &str,
        now_ms: i64,
        dropped: impl Fn(&str) + Send + 'static,
    ) -> Result<Arc<KeySet>, String> {
        let named = claimed_key(token).unwrap_or_default();
        let mut keys = self.young(now_ms);
        if keys.as_ref().is_none_or(|keys| keys.find(&named).is_none()) {
            // In a task of its own: a client that hangs up must not stop what everybody waits for, nor have it count
            // as tried.
            let provider = Arc::clone(self);
            let refreshed = tokio::spawn(async move { provider.refresh(now_ms, dropped).await });
            let why = refreshed
                .await
                .unwrap_or_else(|_| Some("the fetch was given up".to_owned()));
            keys = self.young(now_ms);
            if keys.is_none() {
                return Err(why.unwrap_or_else(|| "they are too old".to_owned()));
            }
        }
        Ok(keys.unwrap_or_default())
    }

    fn young(&self, now_ms: i64) -> Option<Arc<KeySet>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let young = |known: &&Known| now_ms.saturating_sub(known.fetched_ms) <= self.age_ms_max;
        known.as_ref().filter(young).map(|known| Arc::clone(&known.keys))
    }

    /// Fetches keys, unless that was tried a moment ago. Gives back why there are no new ones.
    async fn refresh(&self, now_ms: i64, dropped: impl Fn(&str)) -> Option<String> {
        let mut asked = self.asked.lock().await;
        let recent = asked
            .as_ref()
            .filter(|(at, _)| now_ms.saturating_sub(*at) < PAUSE_MS);
        if let Some((_, why)) = recent {
            let why = why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            return Some(format!("they were asked for a moment ago{why}"));
        }
        *asked = Some((now_ms, None));
        let why = self.renew(now_ms, dropped).await;
        *asked = Some((now_ms, why.clone()));
        why
    }

    async fn renew(&self, now_ms: i64, dropped: impl Fn(&str)) -> Option<String> {
        match self.fetch().await {
            Ok(keys) => {
                let next = Known {
                    keys: Arc::new(keys),
                    fetched_ms: now_ms,
                };
                let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
                let before = known.replace(next.clone());
                drop(known);
                // What was believed for a key that is gone is believed no longer.
                if before.is_some_and(|before| !next.keys.has_all_of(&before.keys)) {
                    dropped(&self.trust.issuer);
                }
                None
            }
            Err(why) => {
                tracing::warn!(issuer = %self.trust.issuer, why, "an issuer's keys cannot be had");
                Some(why)
            }
        }
    }

    async fn fetch(&self) -> Result<KeySet, String> {
        let url = match &self.jwks {
            Some(url) => url.clone(),
            None => {
                let metadata = self.metadata().await?;
                metadata.jwks.ok_or("its metadata has no `jwks_uri`")?
            }
        };
        let document =
            discovery::parsed(self.guarded.get(&url).await?).map_err(|why| format!("{url}: {why}"))?;
        // A set without a key is an answer, too: the issuer has withdrawn them all.
        let is_set = |keys: &wire::json::Node<'_>| keys.kind() == wire::json::Kind::Array;
        let keys = document.root().get("keys").filter(is_set);
        let keys = keys.and_then(|_| KeySet::read(document.root()));
        keys.ok_or_else(|| format!("{url}: it is no set of keys"))
    }
}

#[cfg(test)]
mod tests;
