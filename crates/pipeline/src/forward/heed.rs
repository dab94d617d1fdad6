//! Heed: nothing the call concerns was stopped meanwhile.

use crate::{Passed, Ready, Refusal, ports::Halts};

/// Neither the caller nor the context nor the server is stopped, and the gateway is not.
#[derive(Debug)]
pub struct Heeded(());

impl Heeded {
    pub(crate) const VERB: &'static str = "heed";
}

/// Asks the kill switch. People may have taken their time, and somebody may have used it.
pub(crate) fn heed(halts: &impl Halts, call: Ready<Heeded>) -> Result<Passed<Heeded>, Refusal> {
    halts.heed(&call).map_err(Refusal::at::<Heeded>)?;
    Ok(Passed::pass(call, Heeded(())))
}
