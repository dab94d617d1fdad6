//! A word for reports. Policy decides on findings, never on this.

use crate::{Finding, FindingKind, Findings, Score};

/// What `sallyport inspect` says of one content under the shipped thresholds.
///
/// It speaks of hostility: secrets and personal data make a content worth protecting, not hostile, and
/// leave it clean.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Verdict {
    /// Nothing that counts.
    Clean,
    /// Something that a person or a stricter policy should see.
    Suspect,
    /// Something no honest content has.
    Hostile,
}

/// From here a finding counts: set on development data where one benign text in a hundred is touched.
pub const SUSPECT_MIN: Score = Score::new(0.5);
/// From here a finding speaks for itself: set where one benign text in a thousand is touched.
pub const HOSTILE_MIN: Score = Score::new(0.8);

impl Verdict {
    /// The verdict and the score it rests on.
    #[must_use]
    pub fn of(findings: &Findings) -> (Self, Score) {
        let score = findings
            .iter()
            .filter(|finding| is_about_hostility(finding))
            .fold(Score::NONE, |score, finding| score.max(finding.score));
        let verdict = if score >= HOSTILE_MIN {
            Self::Hostile
        } else if score >= SUSPECT_MIN {
            Self::Suspect
        } else {
            Self::Clean
        };
        (verdict, score)
    }

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Hostile => "hostile",
            Self::Suspect => "suspect",
        }
    }
}

fn is_about_hostility(finding: &Finding) -> bool {
    match finding.kind {
        FindingKind::Injection
        | FindingKind::Poisoning
        | FindingKind::Schema
        | FindingKind::Unicode
        | FindingKind::Uninspectable => true,
        FindingKind::Personal | FindingKind::Secret => false,
    }
}
