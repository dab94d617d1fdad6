//! What inspection reports: facts with a place. What follows from them is policy's to say.

use std::{borrow::Cow, fmt, ops::Range};

use wire::json::Pointer;

/// What sort of fact a finding is. The names are part of the public face.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum FindingKind {
    /// Content that speaks to the model instead of informing it.
    Injection,
    /// Data about a person.
    Personal,
    /// A tool definition that manipulates.
    Poisoning,
    /// A value that does not satisfy the pinned schema.
    Schema,
    /// A credential.
    Secret,
    /// Characters a reader does not see, or sees as others.
    Unicode,
    /// Content that could not be read to the end. Never the same as clean.
    Uninspectable,
}

impl FindingKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Injection,
        Self::Personal,
        Self::Poisoning,
        Self::Schema,
        Self::Secret,
        Self::Unicode,
        Self::Uninspectable,
    ];

    /// The word rules, records and the command line use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Injection => "injection",
            Self::Personal => "personal",
            Self::Poisoning => "poisoning",
            Self::Schema => "schema",
            Self::Secret => "secret",
            Self::Unicode => "unicode",
            Self::Uninspectable => "uninspectable",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How sure a detector is, 0 to 1.
///
/// 0.5 is where a finding starts to count (see [`Verdict`](crate::Verdict)); what lies below is kept for
/// policies that want to know.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Score(f32);

impl Score {
    /// Sure.
    pub const CERTAIN: Self = Self(1.0);
    /// Nothing.
    pub const NONE: Self = Self(0.0);

    /// A score; what lies outside 0 to 1 is brought to the nearer end, and what is not a number is certain.
    #[must_use]
    pub const fn new(score: f32) -> Self {
        if score.is_nan() {
            return Self::CERTAIN;
        }
        Self(score.clamp(0.0, 1.0))
    }

    /// The score as a number.
    #[must_use]
    pub const fn get(self) -> f32 {
        self.0
    }

    /// The larger of two.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }
}

/// Whether a finding lies in a value or in the name of one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Part {
    /// The name of a member.
    Key,
    /// A value.
    Value,
}

/// Where a finding lies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Location {
    /// The value, from the node that was inspected; a key is named by the pointer to its member. Empty for
    /// a text inspected alone. It is for people: one that would be longer than
    /// [`wire::bounds::POINTER_BYTES_MAX`] ends at what holds the value.
    pub pointer: Pointer,
    /// Key or value.
    pub part: Part,
    /// The place in the document's index, good for [`wire::json::Document::at`]; 0 for a text alone.
    pub place: u32,
    /// Bytes in the *decoded* original text of that key or value; for a number, in the number as written.
    pub span: Range<usize>,
}

/// One fact.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What sort of fact.
    pub kind: FindingKind,
    /// The detector and its rule, such as `secret/aws-access-key`. Starts with the kind, but for custom
    /// kinds, which the operator names.
    pub detector: Cow<'static, str>,
    /// Where.
    pub location: Location,
    /// How sure.
    pub score: Score,
    /// What a person should know, never the content itself.
    pub note: Cow<'static, str>,
}

/// Most findings kept from one inspection; what lies beyond is told as one more finding. Whoever writes a content
/// chooses how many there are, and each takes some 200 bytes and its pointer (1,024 bytes at most) here, and work
/// wherever it is acted on. A long conversation about a few hundred people has some thousand.
pub const FINDINGS_MAX: usize = 4096;

/// All facts about one content, in reading order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Findings gathered elsewhere, such as by a heavier engine behind the same words.
    #[must_use]
    pub fn new(mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|f| (f.location.place, f.location.span.start));
        Self(findings)
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many facts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The facts.
    pub fn iter(&self) -> std::slice::Iter<'_, Finding> {
        self.0.iter()
    }

    /// The facts of one kind.
    pub fn of(&self, kind: FindingKind) -> impl Iterator<Item = &Finding> {
        self.0.iter().filter(move |finding| finding.kind == kind)
    }

    /// The facts of both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        Self::new(self.0)
    }
}

impl<'f> IntoIterator for &'f Findings {
    type Item = &'f Finding;
    type IntoIter = std::slice::Iter<'f, Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Findings {
    type Item = Finding;
    type IntoIter = std::vec::IntoIter<Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
