//! The token each caller came with last, where a server's authorization server wants one in exchange (RFC 8693); and the ID
//! token of who logged in at a provider, where that provider is to say who may use a server (ID-JAG).
//!
//! INVARIANT (no passing through): what is here was given by an external issuer, and is shown to that issuer alone, or, of
//! what a caller came with, to the authorization server that the operator named for this server; never to the server
//! itself, nor to whom the server names. It is in memory only, and as long as it is good.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use identity::{ActorKind, CredentialId, Principal, Secret, jose::claimed_issuer};

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
    /// ID tokens, by issuer, tenant and user.
    logins: Mutex<HashMap<[String; 3], Login>>,
    /// The issuers whose ID tokens are wanted; of others none is kept.
    providers: Mutex<BTreeSet<String>>,
}

struct Login {
    token: Arc<Secret>,
    until_ms: i64,
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

    /// From now on ID tokens of this issuer are kept.
    pub(super) fn want_logins(&self, issuer: &str) {
        let mut providers = self.providers.lock().unwrap_or_else(PoisonError::into_inner);
        providers.insert(issuer.to_owned());
    }

    /// Somebody logged in at a provider, which said so by this.
    pub(super) fn logged_in(
        &self,
        (issuer, tenant, user): (&str, Option<&str>, &str),
        token: &Secret,
        until_ms: i64,
        now_ms: i64,
    ) {
        let providers = self.providers.lock().unwrap_or_else(PoisonError::into_inner);
        if !providers.contains(issuer) {
            return;
        }
        drop(providers);
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        if logins.len() >= TOKENS_MAX {
            logins.retain(|_, login| now_ms < login.until_ms);
        }
        if logins.len() >= TOKENS_MAX {
            logins.clear();
        }
        let login = Login {
            token: Arc::new(token.clone()),
            until_ms,
        };
        logins.insert(place(issuer, tenant, user), login);
    }

    /// The ID token of the person whom a caller is or acts for, if they logged in at this provider.
    pub(super) fn login(&self, principal: &Principal, at: &str, now_ms: i64) -> Option<Token> {
        // Of whom another issuer speaks, or none, is another person of that name.
        let issuer = &principal.asserted()?.issuer;
        let actor = principal.actor();
        let user = match (principal.for_user(), actor.kind) {
            (Some(user), _) => user,
            (None, ActorKind::User) => actor.name.as_str(),
            (None, ActorKind::Agent | ActorKind::Service) => return None,
        };
        if **issuer != *at {
            return None;
        }
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        let place = place(at, principal.tenant(), user);
        if logins.get(&place).is_some_and(|login| now_ms >= login.until_ms) {
            logins.remove(&place);
        }
        logins.get(&place).map(|login| Token {
            text: Arc::clone(&login.token),
            until_ms: login.until_ms,
        })
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

fn place(issuer: &str, tenant: Option<&str>, user: &str) -> [String; 3] {
    [issuer, tenant.unwrap_or_default(), user].map(str::to_owned)
}
