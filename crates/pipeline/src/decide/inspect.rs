//! Inspect: what is sent was read, not just relayed.

use std::sync::Arc;

use ::inspect::Findings;
use policy::Source;
use wire::json::Edits;

use crate::{Passed, Ready, Refusal, ports::Inspect};

/// The message was read.
#[derive(Debug)]
pub struct Inspected {
    findings: Arc<Findings>,
    sources: Arc<[Source]>,
    edits: Edits,
}

impl Inspected {
    pub(crate) const VERB: &'static str = "inspect";
}

impl Passed<Inspected> {
    /// What was found. Findings are facts for policy, not verdicts.
    #[must_use]
    pub fn findings(&self) -> &Findings {
        &self.proof().findings
    }

    /// Where arguments came from.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.proof().sources
    }

    /// What has to be changed in the message when it is written for the far side.
    #[must_use]
    pub fn edits(&self) -> &Edits {
        &self.proof().edits
    }
}

/// Reads the message.
pub(crate) fn inspect(
    inspection: &impl Inspect,
    call: Ready<Inspected>,
) -> Result<Passed<Inspected>, Refusal> {
    let found = inspection.inspect(&call);
    let (findings, sources) = (Arc::new(found.findings), Arc::from(found.sources));
    call.dossier().note(|known| {
        known.findings = Some(Arc::clone(&findings));
        known.sources = Arc::clone(&sources);
    });
    Ok(Passed::pass(
        call,
        Inspected {
            findings,
            sources,
            edits: found.edits,
        },
    ))
}
