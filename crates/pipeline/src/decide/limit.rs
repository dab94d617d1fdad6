//! Limit: the caller has budget left.

use wire::model::Tokens;

use crate::{
    Passed, Ready, Refusal,
    ports::{Limits, Slot},
};

/// The call counts against its limits, and holds its place among concurrent ones until it ends.
#[derive(Debug)]
pub struct Limited {
    /// Dropping it gives the concurrency slot back.
    slot: Slot,
}

impl Limited {
    pub(crate) const VERB: &'static str = "limit";
}

impl Passed<Limited> {
    /// Counts what came back.
    pub(crate) fn charge(&self, bytes: usize, tokens: Option<Tokens>) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.proof().slot.0.charge(bytes, tokens);
    }
}

/// Takes what the call costs.
pub(crate) async fn limit(limits: &impl Limits, call: Ready<Limited>) -> Result<Passed<Limited>, Refusal> {
    let slot = limits.take(&call).await.map_err(Refusal::at::<Limited>)?;
    Ok(Passed::pass(call, Limited { slot }))
}
