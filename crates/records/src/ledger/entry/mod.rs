//! Entries: one record each, as typed facts with a schema version.
//!
//! Stored as canonical JSON (RFC 8785), so that one entry has one text and one hash. It must not know
//! what the facts mean: to the ledger a tool and a policy are names.

mod export;
mod read;
mod write;

use std::{borrow::Cow, collections::BTreeMap};

pub use export::{export, rfc3339};
pub use read::EntryError;
pub use write::{ENTRY_BYTES_MAX, Encoded};

use crate::words::words;

#[cfg(test)]
mod tests;

/// The schema version that is written.
pub const SCHEMA_VERSION: u64 = 1;

words! {
    /// What an entry records.
    pub enum Kind {
        /// A person's yes or no, or a request for one.
        Approval => "approval",
        /// Configuration was loaded or changed.
        Configuration => "configuration",
        /// A boxed server connected to a host outside, or was refused that.
        Egress => "egress",
        /// Inspection found something outside a call.
        Finding => "finding",
        /// A time for which entries are missing, and why.
        Gap => "gap",
        /// Nothing happened, and the ledger was alive.
        Heartbeat => "heartbeat",
        /// An incident was opened, contained or resolved.
        Incident => "incident",
        /// A call is about to be sent.
        Intent => "intent",
        /// A key was made, changed or retired.
        Key => "key",
        /// How a call ended.
        Outcome => "outcome",
        /// A policy was loaded or changed.
        Policy => "policy",
        /// A call, or a message outside a call, was refused.
        Refusal => "refusal",
        /// A server or a tool was proposed, approved, quarantined, released or retired.
        Registry => "registry",
        /// A session or context was opened, tightened or closed.
        Session => "session",
        /// The ledger was opened or closed by a process.
        Shard => "shard",
        /// A data subject's records were shown or erased.
        Subject => "subject",
    }
}

impl Kind {
    /// Whether such an entry ends the call it names.
    #[must_use]
    pub const fn ends_call(self) -> bool {
        matches!(self, Self::Outcome | Self::Refusal)
    }
}

words! {
    /// What was decided.
    pub enum Decision {
        /// Not yet: a person must say.
        Hold => "hold",
        /// Yes.
        Permit => "permit",
        /// No.
        Refuse => "refuse",
    }
}

/// One record, before it is written or after it was read.
///
/// Made with [`Entry::new`], the rest by struct update:
/// `Entry { tool: Some(name), ..Entry::new(now, Kind::Intent) }`.
/// What is `None` or empty is left out of the stored text.
///
/// Its texts are its own; those of an entry that is only to be written ([`Said`]) may be what others hold anyway.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<T = String> {
    /// When it happened, in milliseconds since 1970, as the caller's clock says.
    pub time_ms: u64,
    /// What kind of record it is.
    pub kind: Kind,
    /// Id that all entries of one call share.
    pub call: Option<T>,
    /// Who asked.
    pub principal: Principal<T>,
    /// Declared purpose.
    pub purpose: Option<T>,
    /// The conversation or task the call belongs to.
    pub context: Option<T>,
    /// What was asked for, in the policy's words.
    pub action: Option<T>,
    /// The protocol's method.
    pub method: Option<T>,
    /// Which upstream.
    pub server: Option<T>,
    /// Which tool, prompt or resource.
    pub tool: Option<T>,
    /// What was decided.
    pub decision: Option<Decision>,
    /// Stable code of a refusal or an outcome.
    pub code: Option<T>,
    /// Where on the road it ended.
    pub stage: Option<T>,
    /// Whose fault a refusal is.
    pub fault: Option<T>,
    /// The full inside text of a refusal, for people.
    pub reason: Option<T>,
    /// What a permit demanded besides.
    pub obligations: Vec<T>,
    /// Ids of the rules that decided.
    pub rules: Vec<T>,
    /// What inspection reported.
    pub findings: Vec<Finding<T>>,
    /// What is known of the data.
    pub labels: Labels<T>,
    /// Where values of the call came from.
    pub sources: Vec<T>,
    /// Keyed digests of the people it concerns.
    pub subjects: Vec<T>,
    /// Digest of the policy that decided.
    pub policy: Option<T>,
    /// Digest of the pinned definition that was called.
    pub pin: Option<T>,
    /// How the connection was protected.
    pub tls: Tls<T>,
    /// Keyed digest of the arguments.
    pub args_digest: Option<T>,
    /// Keyed digest of the result.
    pub result_digest: Option<T>,
    /// Protocol revision.
    pub revision: Option<T>,
    /// How the message came.
    pub transport: Option<T>,
    /// How long it took, in milliseconds.
    pub ms: Option<u64>,
    /// Anything else: plain words and numbers.
    pub detail: BTreeMap<T, Value<T>>,
    /// Whether something was too long and was shortened when the entry was written.
    pub truncated: bool,
}

/// Who asked.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Principal<T = String> {
    /// On whose behalf.
    pub user: Option<T>,
    /// Which application.
    pub agent: Option<T>,
    /// With which model.
    pub model: Option<T>,
    /// For which tenant.
    pub tenant: Option<T>,
}

/// What is known of the data of a call.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Labels<T = String> {
    /// May it be believed?
    pub integrity: Option<T>,
    /// Who may see it?
    pub confidentiality: Option<T>,
    /// What is in it?
    pub categories: Vec<T>,
}

/// How a connection was protected.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tls<T = String> {
    /// Version of the protocol.
    pub version: Option<T>,
    /// Key-exchange group.
    pub group: Option<T>,
}

/// One thing inspection reported.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Finding<T = String> {
    /// Class of finding.
    pub kind: T,
    /// Which detector.
    pub detector: Option<T>,
    /// Where in the message.
    pub location: Option<T>,
    /// How sure, in thousandths, 0 to 1,000; stored as a number from 0 to 1.
    pub score_millis: Option<u16>,
}

/// A value of [`Entry::detail`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Value<T = String> {
    /// A whole number. Beyond ±(2^53 − 1) it is stored as its decimal text, for no two readers of JSON
    /// agree on such numbers.
    Number(i64),
    /// A text.
    Text(T),
}

/// An entry that is only to be written.
pub type Said<'s> = Entry<Cow<'s, str>>;

impl Said<'_> {
    /// An entry with nothing but its time and kind, to be filled with what others hold.
    #[must_use]
    pub fn borrowing(time_ms: u64, kind: Kind) -> Self {
        Self::empty(time_ms, kind)
    }
}

impl<T: Default> Entry<T> {
    fn empty(time_ms: u64, kind: Kind) -> Self {
        Self {
            time_ms,
            kind,
            call: None,
            principal: Principal::default(),
            purpose: None,
            context: None,
            action: None,
            method: None,
            server: None,
            tool: None,
            decision: None,
            code: None,
            stage: None,
            fault: None,
            reason: None,
            obligations: Vec::new(),
            rules: Vec::new(),
            findings: Vec::new(),
            labels: Labels::default(),
            sources: Vec::new(),
            subjects: Vec::new(),
            policy: None,
            pin: None,
            tls: Tls::default(),
            args_digest: None,
            result_digest: None,
            revision: None,
            transport: None,
            ms: None,
            detail: BTreeMap::new(),
            truncated: false,
        }
    }
}

impl Entry {
    /// An entry with nothing but its time and kind.
    #[must_use]
    pub fn new(time_ms: u64, kind: Kind) -> Self {
        Self::empty(time_ms, kind)
    }

    /// The same entry with one more detail.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(key.to_owned(), value.into());
        self
    }

    /// A number among the details.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        match self.detail.get(key)? {
            Value::Number(number) => u64::try_from(*number).ok(),
            Value::Text(_) => None,
        }
    }

    /// A text among the details.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.detail.get(key)? {
            Value::Number(_) => None,
            Value::Text(text) => Some(text),
        }
    }
}

/// Whether some bytes stand in an entry: a quick look before it is read.
pub(crate) fn holds(entry: &[u8], part: &[u8]) -> bool {
    entry.windows(part.len()).any(|window| window == part)
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        i64::try_from(number).map_or_else(|_| Self::Text(number.to_string()), Self::Number)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}
