//! Screen: the answer was read.

use std::sync::Arc;

use inspect::Findings;
use wire::json::Edits;

use crate::{
    Answer, Passed, Ready, Refusal,
    ports::{Contexts, Inspect},
};

/// The answer was read, and the context knows what it brought.
#[derive(Debug)]
pub struct Screened {
    findings: Arc<Findings>,
    edits: Edits,
}

impl Screened {
    pub(crate) const VERB: &'static str = "screen";
}

impl Passed<Screened> {
    /// What was found in the answer.
    #[must_use]
    pub fn answer_findings(&self) -> &Findings {
        &self.proof().findings
    }

    /// What must go whatever policy says: spoofed keys, hidden text.
    #[must_use]
    pub fn answer_edits(&self) -> &Edits {
        &self.proof().edits
    }
}

/// Reads the answer.
pub(crate) fn screen(
    engines: &(impl Contexts + Inspect),
    call: Ready<Screened>,
) -> Result<Passed<Screened>, Refusal> {
    let found = match call.unread() {
        Answer::Foreign(..) => engines.screen(&call),
        Answer::Accepted | Answer::Listing(_) | Answer::Own(_) => crate::ports::Inspection::default(),
    };
    let findings = Arc::new(found.findings);
    call.dossier()
        .note(|known| known.answer_findings = Some(Arc::clone(&findings)));
    let call = Passed::pass(
        call,
        Screened {
            findings,
            edits: found.edits,
        },
    );
    // Before anybody sees the answer: what was read cannot be unread.
    engines.absorb(&call).map_err(Refusal::at::<Screened>)?;
    Ok(call)
}
