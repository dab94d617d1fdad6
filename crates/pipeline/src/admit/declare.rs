//! Declare: what the caller says it is for is something it may say.

use std::sync::Arc;

use crate::{Passed, Ready, Refusal, ports::Purposes};

/// We know what for, as far as the caller declared it.
#[derive(Debug)]
pub struct Declared {
    purpose: Option<Arc<str>>,
}

impl Declared {
    pub(crate) const VERB: &'static str = "declare";
}

impl Passed<Declared> {
    /// The declared purpose. None is not a purpose; rules that want one refuse.
    #[must_use]
    pub fn purpose(&self) -> Option<&Arc<str>> {
        self.proof().purpose.as_ref()
    }
}

/// Checks the declaration.
pub(crate) fn declare(purposes: &impl Purposes, call: Ready<Declared>) -> Result<Passed<Declared>, Refusal> {
    let purpose = purposes.purpose(&call).map_err(Refusal::at::<Declared>)?;
    call.dossier().note(|known| known.purpose.clone_from(&purpose));
    Ok(Passed::pass(call, Declared { purpose }))
}
