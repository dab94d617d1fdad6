//! The protocol revisions, oldest first, and which of two wires each speaks.
//!
//! 2024-11-05  stdio and HTTP+SSE.
//! 2025-03-26  Streamable HTTP; batches must be accepted.
//! 2025-06-18  batches gone; elicitation; structured content; the version header.
//! 2025-11-25  tasks, URL elicitation, JSON Schema 2020-12, SSE polling.
//! 2026-07-28  no sessions, no handshake, no server-initiated requests; `server/discover`, per-request
//!             `_meta`, `input_required` results, mirrored headers. A different wire: the modern era.

/// A protocol revision.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Revision {
    /// 2024-11-05
    V2024_11_05,
    /// 2025-03-26
    V2025_03_26,
    /// 2025-06-18
    V2025_06_18,
    /// 2025-11-25
    V2025_11_25,
    /// 2026-07-28
    V2026_07_28,
}

/// Which wire a revision speaks.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Era {
    /// Sessions opened by `initialize`; up to 2025-11-25.
    Legacy,
    /// Every request stands alone; from 2026-07-28.
    Modern,
}

/// Which eras a server was found to speak.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Eras {
    /// The modern one; of sessions it has not been asked, or it speaks them, too.
    Both,
    /// The modern one alone: it refused a session.
    Modern,
    /// Sessions alone.
    Sessions,
}

impl Eras {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Both, Self::Modern, Self::Sessions];

    /// The word records use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Modern => "modern",
            Self::Sessions => "sessions",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|eras| eras.as_str() == word)
    }
}

impl Revision {
    /// All revisions, oldest first.
    pub const ALL: [Self; 5] = [
        Self::V2024_11_05,
        Self::V2025_03_26,
        Self::V2025_06_18,
        Self::V2025_11_25,
        Self::V2026_07_28,
    ];
    /// The newest revision of the legacy era: what `initialize` settles on with an unknown client.
    pub const LATEST_LEGACY: Self = Self::V2025_11_25;
    /// What a missing version header means (2025-06-18, basic/transports).
    pub const WHEN_HEADER_ABSENT: Self = Self::V2025_03_26;

    /// The revision as it goes over the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// Reads a revision.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|revision| revision.as_str() == text)
    }

    /// Which wire it speaks.
    #[must_use]
    pub fn era(self) -> Era {
        match self {
            Self::V2024_11_05 | Self::V2025_03_26 | Self::V2025_06_18 | Self::V2025_11_25 => Era::Legacy,
            Self::V2026_07_28 => Era::Modern,
        }
    }

    /// Whether several messages may come as one array.
    #[must_use]
    pub fn has_batches(self) -> bool {
        self == Self::V2025_03_26
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of revisions; one row of the method table has one per direction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Revisions(u8);

impl Revisions {
    /// No revision.
    pub const NONE: Self = Self(0);
    /// Every revision.
    pub const ALL: Self = Self(0b1_1111);
    /// The legacy era.
    pub const LEGACY: Self = Self(0b0_1111);
    /// 2025-06-18 and 2025-11-25.
    pub const SINCE_2025_06_18_LEGACY: Self = Self(0b0_1100);
    /// 2025-11-25 alone.
    pub const ONLY_2025_11_25: Self = Self(0b0_1000);
    /// The modern era.
    pub const MODERN: Self = Self(0b1_0000);
    /// 2025-06-18 and all that came after it.
    pub const SINCE_2025_06_18: Self = Self(0b1_1100);
    /// 2025-11-25 and the modern era.
    pub const SINCE_2025_11_25: Self = Self(0b1_1000);

    /// Whether the set has this revision.
    #[must_use]
    pub const fn has(self, revision: Revision) -> bool {
        self.0 & (1 << revision as u8) != 0
    }

    /// Whether the set has any revision.
    #[must_use]
    pub const fn any(self) -> bool {
        self.0 != 0
    }
}
