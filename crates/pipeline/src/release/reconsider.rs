//! Reconsider: a second opinion on what comes back, as the caller would get it. It can only withhold.

use policy::{Judging, Obligation};

use crate::{Answer, Passed, Ready, Refusal, Reply, ports::Judges};

/// Whoever had to be asked had nothing against it.
#[derive(Debug)]
pub struct Reconsidered(());

impl Reconsidered {
    pub(crate) const VERB: &'static str = "reconsider";
}

impl Passed<Reconsidered> {
    /// The reply.
    pub(crate) fn into_reply(self) -> Reply {
        self.filtered()
    }
}

/// Asks the judge, but only where the permits demand it.
pub(crate) async fn reconsider(
    judge: &impl Judges,
    call: Ready<Reconsidered>,
) -> Result<Passed<Reconsidered>, Refusal> {
    let is_foreign = matches!(call.unread(), Answer::Foreign(..));
    if is_foreign && Obligation::demands(call.demanded(), Judging::Content) {
        // In a box: it is rare, and would make every call's future as large as its own.
        let said = Box::pin(judge.reconsider(&call)).await;
        said.map_err(Refusal::at::<Reconsidered>)?;
    }
    Ok(Passed::pass(call, Reconsidered(())))
}
