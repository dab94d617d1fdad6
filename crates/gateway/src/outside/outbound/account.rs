//! One server that wants tokens: what was found out about it, and the places of the tokens for it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
};

use pipeline::ports::Caller;
use tokio::sync::Mutex as AsyncMutex;
use upstream::LinkError;
use wire::mcp::ServerName;

use super::grants::{Grant, Party};
use crate::{
    config::auth::{AuthKind, MeantAuth, Registration},
    known::issuers::Guarded,
    outside::oauth::{
        Challenge,
        discovery::Found,
        tokens::{NoToken, Nonces},
    },
};

/// Most callers of one server whose tokens are held in memory.
const SEATS_MAX: usize = 4096;

/// One server that wants tokens.
pub(super) struct Account {
    pub(super) name: ServerName,
    pub(super) url: String,
    pub(super) auth: Arc<MeantAuth>,
    pub(super) guarded: Guarded,
    /// What was found out about it, and held while that is done.
    pub(super) found: AsyncMutex<Option<Found>>,
    /// What it asked for last.
    pub(super) challenge: Mutex<Challenge>,
    pub(super) nonces: Nonces,
    pub(super) seats: Mutex<HashMap<String, Arc<Seat>>>,
}

/// The place of one token: one gets it, the others wait.
#[derive(Default)]
pub(super) struct Seat {
    pub(super) held: AsyncMutex<Held>,
    /// Whether the server took it once.
    pub(super) is_taken: AtomicBool,
}

#[derive(Default)]
pub(super) struct Held {
    pub(super) is_loaded: bool,
    pub(super) grant: Option<Grant>,
}

/// For whom a token is.
pub(super) enum Subject<'c> {
    /// The gateway itself.
    Gateway,
    /// A caller, whom the gateway's issuer vouches for.
    Caller(&'c Caller),
    /// A caller, with the token of an external issuer that it came with.
    Bearer(&'c Caller),
    /// A person.
    Person(Party),
    /// The gateway, with what somebody gave who connected the server.
    Lender(String),
    /// The gateway, and nobody has.
    Nobody,
}

impl Account {
    /// The place of a subject's token; none for nobody's.
    pub(super) fn seat(&self, subject: &Subject<'_>) -> Option<Arc<Seat>> {
        let key = match subject {
            Subject::Gateway => String::new(),
            Subject::Bearer(caller) | Subject::Caller(caller) => caller.principal.key(),
            Subject::Person(party) => party.key(),
            Subject::Lender(key) => key.clone(),
            Subject::Nobody => return None,
        };
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        if seats.len() >= SEATS_MAX && !seats.contains_key(&key) {
            // Those that nobody uses now can be had again.
            seats.retain(|_, seat| Arc::strong_count(seat) > 1);
        }
        Some(Arc::clone(seats.entry(key).or_default()))
    }

    /// What to ask for: what the challenge says, and what configuration does; or else all that the server names.
    pub(super) fn scopes(&self, challenge: &Challenge, found: &Found) -> BTreeSet<String> {
        let mut scopes = self.auth.scopes.clone();
        if self.auth.is_tied_by_scope() {
            return scopes;
        }
        scopes.extend(challenge.scopes().map(str::to_owned));
        if scopes.is_empty() {
            scopes.extend(found.resource.scopes.iter().cloned());
        }
        scopes
    }

    /// Whether the gateway's name at the authorization server comes from configuration.
    pub(super) fn has_given_name(&self) -> bool {
        match &self.auth.kind {
            AuthKind::ClientCredentials(_)
            | AuthKind::CallersToken { .. }
            | AuthKind::Enterprise { .. }
            | AuthKind::TokenExchange { .. }
            | AuthKind::Workload { .. }
            | AuthKind::AuthorizationCode(Registration::Known(_)) => true,
            AuthKind::AuthorizationCode(
                Registration::Document(_) | Registration::Dynamic | Registration::Own,
            ) => false,
        }
    }

    pub(super) fn no_token(&self, found: &Found, why: &NoToken) -> LinkError {
        LinkError::Unauthorized(format!(
            "its authorization server `{}`: {why}; `sallyport oauth doctor {}` says more",
            found.server.issuer, self.url
        ))
    }

    pub(super) fn unconnected(&self) -> LinkError {
        LinkError::Unauthorized(format!(
            "it wants a person's consent, and nobody has given any; `sallyport server connect {} --user NAME` gives \
             the link",
            self.name
        ))
    }
}
