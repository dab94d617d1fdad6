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
    let demanded = call
        .permit()
        .obligations()
        .iter()
        .any(|obligation| match obligation {
            Obligation::Approve { .. } | Obligation::StepUp(_) => true,
            Obligation::Anonymise(_)
            | Obligation::Drop(_)
            | Obligation::Fields(_)
            | Obligation::Label(_)
            | Obligation::Limit(_)
            | Obligation::Mask(_)
            | Obligation::Pseudonymise(_)
            | Obligation::Redact(_)
            | Obligation::Reveal(_)
            | Obligation::Review(_) => false,
        });
    if demanded {
        people.approve(&call).await.map_err(Refusal::at::<Approved>)?;
    }
    Ok(Passed::pass(call, Approved(())))
}
