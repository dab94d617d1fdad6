//! The client, as the other side of messages from a server.

use std::{sync::Arc, time::Duration};

use pipeline::{Answer, Objection, Passed, forward::Recorded, ports::Clients, refusal};
use wire::{
    json::{Edits, ObjectWriter},
    jsonrpc::{self, Message},
    mcp::{Direction, Era, Method, meta},
};

use super::Engines;

/// How long a person may take to answer a server's question.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

impl Clients for Engines {
    async fn deliver(&self, call: &Passed<Recorded>) -> Result<Answer, Objection> {
        let arrival = call.arrival();
        let gone = |why: &str| Objection::new(&refusal::CLIENT_GONE, why);
        let Some(method) = arrival.message.method() else {
            return Err(gone("an answer to nothing"));
        };
        let session = arrival.exchange.session().and_then(|id| self.sessions.peek(&id));
        // The client's own revision decides what it can be told.
        if let Some(session) = &session
            && !method.exists(session.revision, Direction::ToClient)
        {
            let why = format!("the client's revision {} has no `{method}`", session.revision);
            return Err(Objection::new(&refusal::CAPABILITY_MISSING, why));
        }
        if let Message::Notification(_) = &arrival.message {
            let text = jsonrpc::notification(method, |out| write_params(call, out));
            arrival.exchange.deliver(text).await;
            return Ok(Answer::Accepted);
        }
        let session = session.ok_or_else(|| gone("the client has no session to answer in"))?;
        if let Some(needed) = capability(method)
            && session.capabilities.at(&[needed]).is_none()
        {
            let why = format!("the client did not declare `{needed}`");
            return Err(Objection::new(&refusal::CAPABILITY_MISSING, why));
        }
        let (id, answer) = session
            .ask()
            .ok_or_else(|| gone("too many questions wait for the client already"))?;
        let text = jsonrpc::request(&id, method, |out| write_params(call, out));
        arrival.exchange.deliver(text).await;
        let answered = tokio::select! {
            answer = answer => answer.map_err(|_| gone("its session has ended")),
            () = tokio::time::sleep(PATIENCE) => Err(gone("it did not answer in time")),
            () = arrival.exchange.withdrawn() => Err(gone("the call it was asked in was withdrawn")),
        };
        session.forget(&id);
        Ok(Answer::Foreign(Arc::new(answered?), Era::Legacy))
    }
}

/// What a client must have declared to be asked this; what is not here is asked of nobody.
const CAPABILITIES: [(Method, &str); 3] = [
    (Method::ElicitationCreate, "elicitation"),
    (Method::RootsList, "roots"),
    (Method::SamplingCreateMessage, "sampling"),
];

fn capability(method: Method) -> Option<&'static str> {
    CAPABILITIES
        .iter()
        .find(|(asked, _)| *asked == method)
        .map(|(_, capability)| *capability)
}

/// The parameters as judged, without keys that are the gateway's to set.
fn write_params(call: &Passed<Recorded>, out: &mut ObjectWriter<'_>) {
    let Some(params) = call.arrival().message.params() else {
        return;
    };
    let mut edits: Edits = call.outgoing().clone();
    if let Some(given) = meta::of(params) {
        for (key, value) in given.members() {
            if key.as_str().is_some_and(|key| meta::is_ours(&key)) {
                edits.remove(value);
            }
        }
    }
    out.members_except(params, &[], &edits);
}
