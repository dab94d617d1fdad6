//! Enter context: the caller, the session it names and the context belong together.

use std::sync::Arc;

use policy::Context;

use crate::{Passed, Ready, Refusal, ports::Contexts};

/// We know in which conversation or task.
#[derive(Debug)]
pub struct Entered {
    context: Arc<Context>,
}

impl Entered {
    pub(crate) const VERB: &'static str = "enter_context";
}

impl Passed<Entered> {
    /// The context labels stick to.
    #[must_use]
    pub fn context(&self) -> &Arc<Context> {
        &self.proof().context
    }
}

/// Finds the context, and refuses a session that is somebody else's.
pub(crate) fn enter_context(
    contexts: &impl Contexts,
    call: Ready<Entered>,
) -> Result<Passed<Entered>, Refusal> {
    let context = contexts
        .enter(call.caller(), call.arrival())
        .map_err(Refusal::at::<Entered>)?;
    call.dossier()
        .note(|known| known.context = Some(Arc::clone(&context)));
    Ok(Passed::pass(call, Entered { context }))
}
