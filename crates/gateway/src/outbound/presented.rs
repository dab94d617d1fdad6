//! The token each caller came with last, where a server's authorization server wants one in exchange (RFC 8693).
//!
//! INVARIANT (no passing through): what is here was given by an external issuer, and is shown to that issuer alone, or to
//! the authorization server that the operator named for this server; never to the server itself, nor to whom the server
//! names. It is in memory only, and as long as it is good.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use identity::{CredentialId, Principal, Secret, jose::claimed_issuer};

/// A caller's token, to be exchanged.
pub(super) struct Token {
    pub(super) text: Arc<Secret>,
    /// When it ends, and with it all it is exchanged for.
    pub(super) until_ms: i64,
}

/// Most tokens kept; each comes again with its caller's next request.
const TOKENS_MAX: usize = 4096;

/// See the module.
#[derive(Default)]
pub(super) struct Presented {
    /// By [`Principal::key`]: connections to servers are a caller's, whichever of its tokens opened them.
    tokens: Mutex<HashMap<String, Kept>>,
    /// Whether any server wants them; without, none is kept.
    are_wanted: AtomicBool,
}

struct Kept {
    issuer: String,
    credential: CredentialId,
    token: Arc<Secret>,
    until_ms: i64,
}

impl Presented {
    /// From now on tokens are kept.
    pub(super) fn want(&self) {
        self.are_wanted.store(true, Ordering::Relaxed);
    }

    /// Keeps what a caller proved itself with, if an external issuer gave it.
    pub(super) fn note(
        &self,
        principal: &Principal,
        token: &Secret,
        is_external: impl Fn(&str) -> bool,
        now_ms: i64,
    ) {
        // What the gateway gave to somebody an issuer once spoke of is the gateway's own.
        if principal.asserted().is_none() || !self.are_wanted.load(Ordering::Relaxed) {
            return;
        }
        let key = principal.key();
        let credential = principal.credential();
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.get(&key).is_some_and(|kept| kept.credential == credential) {
            return;
        }
        let Some(issuer) = claimed_issuer(token.expose()).filter(|issuer| is_external(issuer)) else {
            return;
        };
        if tokens.len() >= TOKENS_MAX {
            tokens.retain(|_, kept| now_ms < kept.until_ms);
        }
        if tokens.len() >= TOKENS_MAX {
            tokens.clear();
        }
        let kept = Kept {
            issuer,
            credential,
            token: Arc::new(token.clone()),
            until_ms: principal.expires_ms(),
        };
        tokens.insert(key, kept);
    }

    /// When the caller's token ends, if there is one.
    pub(super) fn until_ms(&self, principal: &Principal) -> Option<i64> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(&principal.key()).map(|kept| kept.until_ms)
    }

    /// The caller's token, to be exchanged at an authorization server. `named` is the one that configuration names.
    pub(super) fn for_exchange(
        &self,
        principal: &Principal,
        at: &str,
        named: Option<&str>,
        now_ms: i64,
    ) -> Result<Token, String> {
        let key = principal.key();
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.get(&key).is_some_and(|kept| now_ms >= kept.until_ms) {
            tokens.remove(&key);
        }
        let Some(kept) = tokens.get(&key) else {
            let why = "the caller came with no token of an identity provider that could be exchanged; it has to come \
                       with one of an issuer in `issuers`";
            return Err(why.to_owned());
        };
        if kept.issuer == at || named == Some(at) {
            return Ok(Token {
                text: Arc::clone(&kept.token),
                until_ms: kept.until_ms,
            });
        }
        Err(format!(
            "the caller's token is of `{}` and is shown to nobody else; if this one is to have it, write `issuer: \
             \"{at}\"` under `auth`",
            kept.issuer
        ))
    }
}
