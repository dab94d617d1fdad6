//! Answer: the call is sent, or the gateway answers itself.

use wire::{jsonrpc, model};

use crate::{
    Answer, Destination, Objection, Passed, Ready, Refusal,
    ports::{Clients, Contexts, Hearing, Local, Models, Upstream},
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
    engines: &(impl Clients + Contexts + Local + Models + Upstream),
    call: Ready<Answered>,
) -> Result<Passed<Answered>, Refusal> {
    // In boxes but for one, which is that of nearly every call: all others would make its future as large as theirs.
    let answer = match call.resolution().destination() {
        Destination::Client => Box::pin(tell(engines, &call)).await,
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

/// Tells the client what a server says. It is shown as much as by an answer, so its context knows of it before: what was
/// read cannot be unread. What nobody hears was not read.
async fn tell(engines: &(impl Clients + Contexts), call: &Ready<Answered>) -> Result<Answer, Objection> {
    match engines.hears(call)? {
        Hearing::Deaf => Ok(Answer::Accepted),
        Hearing::Told => {
            engines.overhear(call)?;
            engines.deliver(call).await
        }
    }
}
