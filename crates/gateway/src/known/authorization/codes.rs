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
    Fresh {
        issue: Box<Issue>,
        until_ms: i64,
    },
    Used {
        grant: Option<String>,
        /// Somebody came with it once more.
        again: bool,
        until_ms: i64,
    },
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
            again: false,
            until_ms: now_ms + USED_MS,
        };
        match found {
            Code::Used { grant, again, .. } => {
                *again = true;
                Taken::Again(grant.clone())
            }
            Code::Fresh { until_ms, .. } if now_ms >= *until_ms => Taken::Unknown,
            Code::Fresh { .. } => match std::mem::replace(found, used) {
                Code::Fresh { issue, .. } => Taken::Once(issue),
                Code::Used { .. } => Taken::Unknown,
            },
        }
    }

    /// Says what came of a code; none if somebody used it again meanwhile.
    pub(crate) fn became(&self, code: &str, grant: &str) -> Option<()> {
        match self.lock().get_mut(&sha256(code.as_bytes())) {
            Some(Code::Used { grant: of, again, .. }) if !*again => {
                *of = Some(grant.to_owned());
                Some(())
            }
            Some(Code::Used { .. } | Code::Fresh { .. }) | None => None,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use identity::{
        ResourceId,
        oauth::{Leave, RedirectUri, Registrar, Way},
    };

    use super::*;

    fn issue() -> Issue {
        Issue {
            request: AuthorizationRequest {
                leave: Leave {
                    client: "app".into(),
                    resource: ResourceId::parse("https://g/mcp").expect("a resource"),
                    scopes: BTreeSet::new(),
                    declared: None,
                    key: None,
                },
                wanted: identity::oauth::Wanted::default(),
                way: Way::Browser {
                    redirect: RedirectUri::parse("https://app.example/cb", Registrar::Operator)
                        .expect("an address"),
                    state: None,
                    challenge: String::new(),
                },
            },
            login: LoggedIn {
                user: "alice".into(),
                methods: Vec::new(),
                acr: String::new(),
                elsewhere: None,
                at_ms: 0,
                with: String::new(),
            },
            agent: None,
            refreshes: true,
        }
    }

    #[test]
    fn a_code_is_good_for_a_minute_and_once() {
        let codes = Codes::default();
        codes.put("late", issue(), 0).expect("room");
        assert!(matches!(codes.take("late", CODE_MS), Taken::Unknown));
        codes.put("code", issue(), 0).expect("room");
        assert!(matches!(codes.take("other", 0), Taken::Unknown));
        assert!(matches!(codes.take("code", CODE_MS - 1), Taken::Once(_)));
        codes.became("code", "grant").expect("nobody else came");
        assert!(matches!(codes.take("code", CODE_MS), Taken::Again(Some(grant)) if grant == "grant"));
        codes.sweep(CODE_MS + USED_MS);
        assert!(matches!(codes.take("code", CODE_MS), Taken::Unknown));
    }

    /// Between the use of a code and the tokens there is time for somebody else to come with it.
    #[test]
    fn of_two_at_the_same_time_neither_keeps_anything() {
        let codes = Codes::default();
        codes.put("code", issue(), 0).expect("room");
        assert!(matches!(codes.take("code", 0), Taken::Once(_)));
        assert!(matches!(codes.take("code", 0), Taken::Again(None)));
        assert_eq!(codes.became("code", "grant"), None);
    }

    #[test]
    fn there_is_room_for_so_many() {
        let codes = Codes::default();
        for n in 0..CODES_MAX {
            codes.put(&n.to_string(), issue(), 0).expect("room");
        }
        assert_eq!(codes.put("more", issue(), 0), None);
        codes.sweep(CODE_MS);
        assert_eq!(codes.put("more", issue(), 0), Some(()));
    }
}
