//! Authenticate: the credential proves somebody.

use identity::Principal;

use crate::{
    Passed, Ready, Refusal,
    ports::{Caller, Identify},
};

/// We know who asks.
#[derive(Debug)]
pub struct Authenticated {
    caller: Caller,
}

impl Authenticated {
    pub(crate) const VERB: &'static str = "authenticate";
}

impl Passed<Authenticated> {
    /// The verified caller.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.proof().caller
    }

    /// The verified caller, as `identity` proved it.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.proof().caller.principal
    }
}

/// Verifies the credential.
pub(crate) async fn authenticate(
    identity: &impl Identify,
    call: Ready<Authenticated>,
) -> Result<Passed<Authenticated>, Refusal> {
    let caller = identity
        .identify(call.arrival())
        .await
        .map_err(Refusal::at::<Authenticated>)?;
    call.dossier().note(|known| known.caller = Some(caller.clone()));
    call.arrival().exchange.admitted(&caller);
    Ok(Passed::pass(call, Authenticated { caller }))
}
