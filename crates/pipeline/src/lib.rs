//! The only road between a client and an upstream, in both directions and for every kind of message.
//!
//! Read [`Pipeline::carry`], [`Pipeline::approach`] and [`cross`] top-down: they are the whole security
//! model. Each line is one stage, each stage lives in the file named after its verb, and each leaves a
//! proof named after its participle. What the engines behind the stages must offer is in [`ports`].
//!
//! This crate must not know sockets, TLS, configuration files, the sandbox or metrics back ends. It parses
//! nothing and has no `unsafe`.

#[macro_use]
mod passage;
pub mod admit;
mod arrival;
pub mod attacks;
pub mod decide;
mod dossier;
pub mod forward;
pub mod ports;
pub mod refusal;
pub mod release;
mod reply;

use std::sync::Arc;

pub use arrival::{
    Arrival, CallId, Capabilities, Credential, Endpoint, Group, Possession, SignedRequest, Tls, Via,
};
pub use dossier::{Concerned, Dossier, Known};
pub use passage::{Passed, Ready, Received, Stage};
pub use policy::registry;
use ports::{Case, Engines};
pub use refusal::{Objection, Refusal};
pub use reply::{Answer, Body, Destination, Entry, Listing, Own, Reply, Resolution};

stages! {
    Received,
    // admit: who asks, in which context, for what purpose
    admit::Authenticated,
    admit::Entered,
    admit::Declared,
    // decide: is exactly this call, on exactly this pinned tool, allowed now
    decide::Resolved,
    decide::Inspected,
    decide::Authorized,
    decide::Limited,
    decide::Consulted,
    decide::Approved,
    // forward: nothing leaves before its intent is durable
    forward::Heeded,
    forward::Recorded,
    forward::Answered,
    // release: nothing comes back unread
    release::Screened,
    release::Filtered,
    release::Reconsidered,
}

/// The engines, behind ports, and the road between them.
#[derive(Debug)]
pub struct Pipeline<X> {
    engines: Arc<X>,
}

impl<X: Engines> Pipeline<X> {
    /// Builds a pipeline over the given engines.
    pub fn new(engines: Arc<X>) -> Self {
        Self { engines }
    }

    /// Carries one message across, or refuses it; either way exactly one outcome is recorded.
    ///
    /// Dropping the future before the intent is recorded gives the message up, which is recorded as
    /// abandoned. After that the world may have changed, so the rest runs on whether anybody listens or not.
    ///
    /// # Errors
    /// The refusal, as it was recorded.
    pub async fn carry(&self, arrival: Arrival) -> Result<Reply, Refusal> {
        let call = Received::new(arrival);
        let case = self.engines.open_case(&call);
        match self.approach(call).await {
            Err(refusal) => case.close(Err(refusal)).await,
            Ok(call) => {
                let engines = Arc::clone(&self.engines);
                // In a box, since it is moved from hand to hand, and large.
                let rest = Box::pin(async move {
                    let outcome = cross(&*engines, call).await;
                    // Not a stage: a refusal at any stage must be recorded too, so `?` may not skip this.
                    case.close(outcome).await
                });
                self.engines.detach(rest).await
            }
        }
    }

    /// Records that a message was refused before it could take the road: not a message, too large, from a
    /// foreign origin.
    pub async fn turn_away(&self, arrival: ports::Stranger, objection: Objection) -> Refusal {
        self.engines
            .turn_away(arrival, Refusal::at_the_gate(objection))
            .await
    }

    async fn approach(&self, call: Received) -> Result<Passed<decide::Approved>, Refusal> {
        let engines = &*self.engines;
        let call = admit::authenticate(engines, call).await?;
        let call = admit::enter_context(engines, call)?;
        let call = admit::declare(engines, call)?;

        let call = decide::resolve(engines, call)?;
        let call = decide::inspect(engines, call)?;
        let call = decide::authorize(engines, call)?;
        let call = decide::limit(engines, call).await?; // before `approve`: people are the scarcest budget
        let call = decide::consult(engines, call).await?; // before `approve`, too: people see what is left
        decide::approve(engines, call).await
    }
}

async fn cross<X: Engines>(engines: &X, call: Passed<decide::Approved>) -> Result<Reply, Refusal> {
    let call = forward::heed(engines, call)?;
    let call = forward::record(engines, call).await?;
    let call = forward::answer(engines, call).await?;

    let call = release::screen(engines, call)?;
    let call = release::filter(engines, call)?;
    let call = release::reconsider(engines, call).await?;
    Ok(call.into_reply())
}

#[cfg(test)]
mod tests;
