//! Approve: a person agreed, where the permit asks for one.

use policy::Obligation;

use crate::{Passed, Ready, Refusal, ports::Approvals};

/// Whoever had to agree has.
#[derive(Debug)]
pub struct Approved(());

impl Approved {
    pub(crate) const VERB: &'static str = "approve";
}

/// Asks people, but only where the permit demands it.
pub(crate) async fn approve(
    people: &impl Approvals,
    call: Ready<Approved>,
) -> Result<Passed<Approved>, Refusal> {
    let mut obligations = call.permit().obligations().iter();
    if obligations.any(Obligation::holds_call) {
        // In a box: it is rare, and would make every call's future as large as its own.
        let approved = Box::pin(people.approve(&call)).await;
        approved.map_err(Refusal::at::<Approved>)?;
    }
    Ok(Passed::pass(call, Approved(())))
}
