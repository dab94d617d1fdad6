//! Answer: the call is sent, or the gateway answers itself.

use crate::{
    Answer, Destination, Passed, Ready, Refusal,
    ports::{Clients, Local, Upstream},
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
    engines: &(impl Clients + Local + Upstream),
    call: Ready<Answered>,
) -> Result<Passed<Answered>, Refusal> {
    let answer = match call.resolution().destination() {
        Destination::Client => engines.deliver(&call).await,
        Destination::Gateway => engines.answer(&call).await,
        Destination::Upstream => engines.send(&call).await,
    };
    let answer = answer.map_err(Refusal::at::<Answered>)?;
    if let Answer::Foreign(response, _) = &answer {
        call.charge(response.document().text().len());
    }
    Ok(Passed::pass(call, Answered { answer }))
}
