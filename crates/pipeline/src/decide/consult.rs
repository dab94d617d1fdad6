//! Consult: a second opinion on what is asked, where the permit demands one. It can only refuse.

use policy::{Judging, Obligation};

use crate::{Passed, Ready, Refusal, ports::Judges};

/// Whoever had to be asked had nothing against it.
#[derive(Debug)]
pub struct Consulted(());

impl Consulted {
    pub(crate) const VERB: &'static str = "consult";
}

/// Asks the judge, but only where the permit demands it: what rules refuse never gets here.
pub(crate) async fn consult(
    judge: &impl Judges,
    call: Ready<Consulted>,
) -> Result<Passed<Consulted>, Refusal> {
    if Obligation::demands(call.permit().obligations(), Judging::Intent) {
        // In a box: it is rare, and would make every call's future as large as its own.
        let said = Box::pin(judge.consult(&call)).await;
        said.map_err(Refusal::at::<Consulted>)?;
    }
    Ok(Passed::pass(call, Consulted(())))
}
