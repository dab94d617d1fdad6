//! Answer: the call is sent, or the gateway answers itself.

use wire::{jsonrpc, model};

use crate::{
    Answer, Destination, Passed, Ready, Refusal,
    ports::{Clients, Local, Models, Upstream},
};

/// There is an answer. It is not trusted.
#[derive(Debug)]
pub struct Answered {
    answer: Answer,
}

impl Answered {
    pub(crate) const VERB: &'static str = "answer";
}

impl Passed<Answered> {
    /// The answer, unread: for those who read it.
    #[must_use]
    pub fn unread(&self) -> &Answer {
        &self.proof().answer
    }
}

/// Sends the call.
pub(crate) async fn answer(
    engines: &(impl Clients + Local + Models + Upstream),
    call: Ready<Answered>,
) -> Result<Passed<Answered>, Refusal> {
    // In boxes but for one, which is that of nearly every call: all others would make its future as large as theirs.
    let answer = match call.resolution().destination() {
        Destination::Client => Box::pin(engines.deliver(&call)).await,
        Destination::Gateway => Box::pin(engines.answer(&call)).await,
        Destination::Model => Box::pin(engines.complete(&call)).await,
        Destination::Upstream => engines.send(&call).await,
    };
    let answer = answer.map_err(Refusal::at::<Answered>)?;
    if let Answer::Foreign(response, _) = &answer {
        let tokens = match response.answer() {
            jsonrpc::Answer::Result(said) if call.resolution().model().is_some() => model::tokens(said),
            jsonrpc::Answer::Error(_) | jsonrpc::Answer::Result(_) => None,
        };
        call.dossier().note(|known| known.tokens = tokens);
        call.charge(response.document().text().len(), tokens);
    }
    Ok(Passed::pass(call, Answered { answer }))
}
