//! Authorization codes: 256 bits, a minute, once. They are not kept over a restart, which is shorter than they live.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use identity::{oauth::AuthorizationRequest, sha256};

use super::LoggedIn;

/// How long a code is good, in milliseconds.
const CODE_MS: i64 = 60 * 1000;
/// How long one that was used is remembered: as long as its tokens may live that it could be used to take back.
const USED_MS: i64 = identity::token::LIFETIME_MS_MAX;
/// Most codes at a time. Each took a login.
const CODES_MAX: usize = 4096;

/// What a code stands for.
#[derive(Clone, Debug)]
pub(crate) struct Issue {
    pub(crate) request: AuthorizationRequest,
    pub(crate) login: LoggedIn,
    pub(crate) agent: Option<String>,
    /// Whether the client gets refresh tokens.
    pub(crate) refreshes: bool,
}

/// What became of the attempt to use a code.
#[derive(Debug)]
pub(crate) enum Taken {
    /// It is used now, and was not before.
    Once(Box<Issue>),
    /// It was used before; this came of it, if anything did.
    Again(Option<String>),
    /// There is none, or none any more.
    Unknown,
}

#[derive(Debug)]
enum Code {
    Fresh { issue: Box<Issue>, until_ms: i64 },
    Used { grant: Option<String>, until_ms: i64 },
}

/// See the module. Codes are known by their digests.
#[derive(Debug, Default)]
pub(crate) struct Codes(Mutex<HashMap<[u8; 32], Code>>);

impl Codes {
    /// Takes a new code in; none when there are too many.
    pub(crate) fn put(&self, code: &str, issue: Issue, now_ms: i64) -> Option<()> {
        let mut codes = self.lock();
        if codes.len() >= CODES_MAX {
            return None;
        }
        let issue = Box::new(issue);
        let until_ms = now_ms + CODE_MS;
        codes.insert(sha256(code.as_bytes()), Code::Fresh { issue, until_ms });
        Some(())
    }

    /// Uses a code. Whatever comes of it, it is used.
    pub(crate) fn take(&self, code: &str, now_ms: i64) -> Taken {
        let mut codes = self.lock();
        let Some(found) = codes.get_mut(&sha256(code.as_bytes())) else {
            return Taken::Unknown;
        };
        let used = Code::Used {
            grant: None,
            until_ms: now_ms + USED_MS,
        };
        match found {
            Code::Used { grant, .. } => Taken::Again(grant.clone()),
            Code::Fresh { until_ms, .. } if now_ms >= *until_ms => Taken::Unknown,
            Code::Fresh { .. } => match std::mem::replace(found, used) {
                Code::Fresh { issue, .. } => Taken::Once(issue),
                Code::Used { .. } => Taken::Unknown,
            },
        }
    }

    /// Says what came of a code.
    pub(crate) fn became(&self, code: &str, grant: &str) {
        if let Some(Code::Used { grant: of, .. }) = self.lock().get_mut(&sha256(code.as_bytes())) {
            *of = Some(grant.to_owned());
        }
    }

    /// Forgets codes that are over.
    pub(crate) fn sweep(&self, now_ms: i64) {
        self.lock().retain(|_, code| match code {
            Code::Fresh { until_ms, .. } | Code::Used { until_ms, .. } => now_ms < *until_ms,
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Code>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
