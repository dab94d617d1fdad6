//! What people with a browser let in: who can log in, which clients ask, codes, grants, and what slows guessing down.
//! It knows neither HTTP nor pages; `listen/authorize.rs` does.

pub(crate) mod answers;
mod clients;
mod codes;
pub(crate) mod devices;
mod elsewhere;
mod grants;
pub(crate) mod login;
mod pace;
pub(crate) mod passkeys;
mod registered;
mod throttle;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use aws_lc_rs::hmac;
use identity::{SecretDigest, oauth::RegisteredClient, sha256};
use records::digest::hex;
use tokio::sync::Semaphore;

pub(crate) use codes::{Issue, Taken};
pub(crate) use elsewhere::{Came, Departure, Elsewhere, NotLet, Vouched};
pub(crate) use grants::{REFRESH_DAYS, Record, Rotated, digest};
pub(crate) use login::{LoggedIn, NotLoggedIn};
pub(crate) use pace::{Pace, TooFast};

use crate::{
    ambient::Ambient,
    config::authorization::{MeantAuthorization, MeantClient, MeantLogin, Mfa, Switch},
    conversations::sealed::Seal,
    known::issuers::Guarded,
    storage::store::{Store, StoreError},
};
use clients::Documents;
use codes::Codes;
use devices::Devices;
use grants::Grants;
use registered::Registered;
pub(crate) use throttle::Throttle;

/// How long a person may take to answer, in milliseconds.
pub(crate) const TRANSACTION_MS: i64 = 10 * 60 * 1000;
/// Most passwords looked at at a time: each takes 19 MiB and tens of milliseconds of a core.
const HASHES_AT_ONCE: usize = 2;
/// Most answered transactions remembered. Each took a login.
const ANSWERED_MAX: usize = 16 * 1024;
/// What people agreed to before.
const CONSENTS: &str = "consents";

/// See the module.
#[derive(Debug)]
pub(crate) struct Authorization {
    settings: RwLock<Arc<Settings>>,
    store: Store,
    pub(crate) seal: Seal,
    pub(crate) codes: Codes,
    pub(crate) devices: Devices,
    pub(crate) grants: Grants,
    /// Where else people log in.
    pub(crate) elsewhere: Elsewhere,
    throttle: Throttle,
    documents: Documents,
    pub(crate) registered: Registered,
    hashing: Arc<Semaphore>,
    totp: Mutex<()>,
    answered: Mutex<HashMap<String, i64>>,
    /// Answers of identity providers that came.
    pub(crate) answers: answers::Answers,
}

/// What configuration says, ready to be used.
#[derive(Debug, Default)]
struct Settings {
    logins: BTreeMap<String, MeantLogin>,
    clients: BTreeMap<String, Configured>,
    registration: Switch,
    /// What documents are fetched with, if they are.
    fetcher: Option<Guarded>,
    mfa: Mfa,
}

/// A client of the configuration, as far as it is known there.
#[derive(Debug)]
struct Configured {
    meant: MeantClient,
    secret: Option<SecretDigest>,
}

impl Settings {
    fn of(meant: &MeantAuthorization, key: &hmac::Key) -> Result<Self, String> {
        let clients = meant.clients.iter().map(|client| {
            let secret = client.secret.as_ref().map(|secret| SecretDigest::of(secret, key));
            let meant = client.clone();
            (client.id.clone(), Configured { meant, secret })
        });
        let fetcher = match meant.documents {
            Switch::On => Some(Guarded::new(meant.network, &meant.authorities)?),
            Switch::Off => None,
        };
        Ok(Self {
            logins: meant.logins.clone(),
            clients: clients.collect(),
            registration: meant.registration,
            fetcher,
            mfa: meant.mfa,
        })
    }
}

/// What there is for people, as metadata says it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Offer {
    pub(crate) registration: Switch,
    pub(crate) documents: Switch,
}

impl Authorization {
    /// Opens what was granted before. `key` is that of secret digests.
    pub(crate) fn open(
        (meant, elsewhere): (&MeantAuthorization, Elsewhere),
        key: &hmac::Key,
        store: Store,
        ambient: &Ambient,
    ) -> Result<Self, String> {
        let stored = |error: StoreError| error.to_string();
        Ok(Self {
            settings: RwLock::new(Arc::new(Settings::of(meant, key)?)),
            seal: Seal::new(ambient).ok_or("no key to seal with can be made")?,
            codes: Codes::default(),
            devices: Devices::default(),
            grants: Grants::open(store.clone(), ambient.now_ms()).map_err(stored)?,
            elsewhere,
            throttle: Throttle::default(),
            documents: Documents::default(),
            registered: Registered::open(store.clone()).map_err(stored)?,
            hashing: Arc::new(Semaphore::new(HASHES_AT_ONCE)),
            totp: Mutex::default(),
            answered: Mutex::default(),
            answers: answers::Answers::default(),
            store,
        })
    }

    /// Takes over the configuration as it is now.
    pub(crate) fn follow(&self, meant: &MeantAuthorization, key: &hmac::Key) -> Result<(), String> {
        let settings = Arc::new(Settings::of(meant, key)?);
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
        Ok(())
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What there is; none while nobody can log in.
    pub(crate) fn offer(&self) -> Option<Offer> {
        let settings = self.settings();
        let has_people = !settings.logins.is_empty() || !self.elsewhere.is_empty();
        has_people.then(|| Offer {
            registration: settings.registration,
            documents: if settings.fetcher.is_some() {
                Switch::On
            } else {
                Switch::Off
            },
        })
    }

    /// Whether anybody logs in with a password here.
    pub(crate) fn has_passwords(&self) -> bool {
        !self.settings().logins.is_empty()
    }

    /// Nothing if a transaction was answered before.
    fn unanswered(&self, transaction: &str) -> Option<()> {
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        (!answered.contains_key(transaction)).then_some(())
    }

    /// Marks a transaction as answered; none if it was before.
    pub(crate) fn answer_once(&self, transaction: &str, now_ms: i64) -> Option<()> {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        if answered.len() >= ANSWERED_MAX {
            answered.retain(|_, until_ms| now_ms < *until_ms);
        }
        if answered.len() >= ANSWERED_MAX || answered.contains_key(transaction) {
            return None;
        }
        answered.insert(transaction.to_owned(), now_ms + TRANSACTION_MS);
        Some(())
    }

    /// Whether this user agreed to exactly this before.
    pub(crate) fn has_agreed(&self, key: &str) -> bool {
        matches!(self.store.get(CONSENTS, key), Ok(Some(_)))
    }

    /// Remembers that a user agreed.
    pub(crate) fn remember_consent(&self, key: &str, user: &str) {
        // If it cannot be stored, the user is asked again.
        let _ = self.store.put(CONSENTS, key, user.as_bytes());
    }

    /// Forgets all a user agreed to.
    pub(crate) fn forget_consents(&self, user: &str) -> Result<(), StoreError> {
        for (key, value) in self.store.list(CONSENTS)? {
            if value == user.as_bytes() {
                self.store.delete(CONSENTS, &key)?;
            }
        }
        Ok(())
    }

    /// Clears away what is over.
    pub(crate) fn sweep(&self, now_ms: i64) {
        self.codes.sweep(now_ms);
        self.devices.sweep(now_ms);
        if let Err(error) = self
            .grants
            .sweep(now_ms)
            .and_then(|()| self.registered.sweep(now_ms))
        {
            tracing::error!(%error, "what people granted cannot be stored");
        }
    }
}

/// What consent is remembered by: all of it, with lengths, so that nothing else reads the same.
pub(crate) fn consent_key(user: &str, client: &RegisteredClient, request: &[u8]) -> String {
    let parts = [
        user.as_bytes(),
        client.id.as_bytes(),
        client.name.as_bytes(),
        request,
    ];
    let mut whole = Vec::new();
    for part in parts {
        whole.extend_from_slice(&part.len().to_be_bytes());
        whole.extend_from_slice(part);
    }
    hex(&sha256(&whole))
}
