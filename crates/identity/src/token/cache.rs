//! Verified tokens, remembered by digest, so that a token is verified once and not at every call.
//!
//! The cache saves the signature check, nothing else: expiry and revocation are looked at on every use.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::SKEW_MS;
use crate::{
    principal::{CredentialId, Principal},
    resource::ResourceId,
    secret::Secret,
};

/// The most tokens remembered, and the most revocations.
const TOKENS_MAX: usize = 16 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub struct TokenCache {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    verified: HashMap<(CredentialId, ResourceId), Arc<Principal>>,
    /// How often tokens of an issuer were forgotten.
    generation: u64,
    /// Revoked token ids with the time after which they would have expired anyway.
    revoked: HashMap<String, i64>,
    /// What people granted and somebody took back, with the time after which all its tokens have expired.
    grants: HashMap<String, i64>,
    /// Agents and services whose every token issued before a time is revoked. Users may be called the same and keep
    /// theirs.
    cut_off: HashMap<String, i64>,
}

impl TokenCache {
    /// The principal a token was found to prove, if it still does.
    #[must_use]
    pub fn recall(&self, token: &Secret, audience: &ResourceId, now_ms: i64) -> Option<Arc<Principal>> {
        let key = (CredentialId::of(token.expose().as_bytes()), audience.clone());
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let principal = inner.verified.get(&key)?;
        if now_ms >= principal.expires_ms.saturating_add(SKEW_MS) {
            inner.verified.remove(&key);
            return None;
        }
        Some(Arc::clone(principal))
    }

    /// To be asked for before a token is verified, and given to [`Self::remember`].
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .generation
    }

    /// Remembers a verified token, unless an issuer's tokens were forgotten since: its key may be the one that went.
    pub fn remember(&self, audience: &ResourceId, principal: &Arc<Principal>, generation: u64, now_ms: i64) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.generation != generation {
            return;
        }
        if inner.verified.len() >= TOKENS_MAX {
            inner
                .verified
                .retain(|_, principal| now_ms < principal.expires_ms);
        }
        if inner.verified.len() >= TOKENS_MAX {
            inner.verified.clear();
        }
        inner
            .verified
            .insert((principal.credential, audience.clone()), Arc::clone(principal));
    }

    /// Revokes one token.
    pub fn revoke(&self, token_id: &str, expires_ms: i64, now_ms: i64) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner
            .revoked
            .retain(|_, until| now_ms < until.saturating_add(SKEW_MS));
        inner.revoked.insert(token_id.to_owned(), expires_ms);
        inner
            .verified
            .retain(|_, principal| principal.token_id.as_deref() != Some(token_id));
    }

    /// Revokes every token that came of what a person granted.
    pub fn revoke_grant(&self, grant: &str, expires_ms: i64, now_ms: i64) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner
            .grants
            .retain(|_, until| now_ms < until.saturating_add(SKEW_MS));
        inner.grants.insert(grant.to_owned(), expires_ms);
    }

    /// Revokes every token of an agent or service issued up to now.
    pub fn cut_off_client(&self, client: &str, now_ms: i64) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.cut_off.insert(client.to_owned(), now_ms);
        inner
            .verified
            .retain(|_, principal| !principal.actor.is_client(client));
    }

    /// Forgets the tokens of an external issuer: its keys have changed.
    pub fn forget_issuer(&self, issuer: &str) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.generation = inner.generation.wrapping_add(1);
        inner.verified.retain(|_, principal| {
            principal
                .asserted()
                .is_none_or(|asserted| &*asserted.issuer != issuer)
        });
    }

    /// Whether a principal's credential was revoked.
    #[must_use]
    pub fn is_revoked(&self, principal: &Principal) -> bool {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let by_id = principal
            .token_id
            .as_ref()
            .is_some_and(|id| inner.revoked.contains_key(id));
        let by_grant = principal
            .login()
            .is_some_and(|login| inner.grants.contains_key(&login.grant));
        // Tokens carry whole seconds, so one issued in the second of the cut counts as issued before it.
        let cut = inner
            .cut_off
            .get(&principal.actor.name)
            .filter(|_| principal.actor.is_client(&principal.actor.name));
        by_id || by_grant || cut.is_some_and(|cut_ms| principal.issued_ms <= *cut_ms)
    }

    /// How many tokens are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .verified
            .len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
