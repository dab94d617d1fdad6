//! Data-flow control over the messages that pass: what results brought into a context, and what calls carry.

use inspect::{FindingKind, Findings, SUSPECT_MIN, Score};
use policy::flow::Suspicion;

/// From here a finding makes one wary of what the context does next. Lower than where a finding counts by
/// itself, because being wary interrupts only the calls that data-flow control doubts.
const WARY_MIN: Score = Score::new(0.25);

/// What the detectors' findings in a result mean for the flow of data.
pub(crate) fn suspicion(findings: &Findings) -> Suspicion {
    let worst = findings
        .iter()
        .filter(|finding| matches!(finding.kind, FindingKind::Injection | FindingKind::Poisoning))
        .fold(Score::NONE, |worst, finding| worst.max(finding.score));
    if worst >= SUSPECT_MIN {
        Suspicion::Marked
    } else if worst >= WARY_MIN {
        Suspicion::Slight
    } else {
        Suspicion::None
    }
}
