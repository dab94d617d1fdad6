//! The client, as the other side of messages from a server.

use std::{sync::Arc, time::Duration};

use pipeline::{
    Answer, Objection, Passed,
    forward::Recorded,
    ports::{Clients, Hearing, Question},
    refusal,
};
use wire::{
    json::{Edits, Node, ObjectWriter, object},
    jsonrpc::{self, Id, Message},
    mcp::{Direction, Era, LogLevel, Method, Revision, meta},
};

use super::Engines;

/// How long a person may take to answer a server's question.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

impl Clients for Engines {
    fn hears(&self, call: &Passed<Recorded>) -> Result<Hearing, Objection> {
        let arrival = call.arrival();
        let Some(method) = arrival.message.method() else {
            return Err(gone("an answer to nothing"));
        };
        let session = arrival.exchange.session().and_then(|id| self.sessions.peek(&id));
        let asks = arrival.exchange.asks();
        // The client's own revision decides what it can be told.
        if let Some(session) = &session
            && !method.exists(session.revision, Direction::ToClient)
        {
            let why = format!("the client's revision {} has no `{method}`", session.revision);
            return Err(Objection::new(&refusal::CAPABILITY_MISSING, why));
        }
        let params = arrival.message.params();
        if let Message::Notification(_) = &arrival.message {
            let is_wanted = asks.is_none_or(|asks| is_wanted(method, params, asks.log_level()));
            return Ok(if is_wanted { Hearing::Told } else { Hearing::Deaf });
        }
        let capabilities = match (&session, asks) {
            (Some(session), _) => session.capabilities.clone(),
            (None, Some(asks)) => asks.capabilities(),
            (None, None) => return Err(gone("the client has no session to answer in")),
        };
        if let Some(needed) = needed(method, params)
            && capabilities.at(needed).is_none()
        {
            let why = format!("the client did not declare `{}`", needed.join("."));
            let missing = needed
                .iter()
                .rev()
                .fold(b"{}".to_vec(), |inner, name| object(|out| out.json(name, &inner)));
            let data = object(|out| out.json("requiredCapabilities", &missing));
            return Err(Objection {
                data: Some(data.into_boxed_slice()),
                ..Objection::new(&refusal::CAPABILITY_MISSING, why)
            });
        }
        Ok(Hearing::Told)
    }

    async fn deliver(&self, call: &Passed<Recorded>) -> Result<Answer, Objection> {
        self.unless_halted(call, self.deliver_on(call)).await
    }
}

impl Engines {
    async fn deliver_on(&self, call: &Passed<Recorded>) -> Result<Answer, Objection> {
        let arrival = call.arrival();
        let Some(method) = arrival.message.method() else {
            return Err(gone("an answer to nothing"));
        };
        if let Message::Notification(_) = &arrival.message {
            let text = jsonrpc::notification(method, |out| write_params(call, out));
            arrival.exchange.deliver(text).await;
            return Ok(Answer::Accepted);
        }
        let params = arrival.message.params();
        if let Some(asks) = arrival.exchange.asks() {
            let id = arrival.message.id().cloned().unwrap_or(Id::Integer(0));
            let params = object(|out| write_params(call, out));
            let answer = asks.ask(Question { id, method, params });
            let answered = tokio::select! {
                answer = answer => answer,
                () = tokio::time::sleep(PATIENCE) => Err(gone("it did not answer in time")),
                () = arrival.exchange.withdrawn() => Err(gone("the call it was asked in was withdrawn")),
            };
            return Ok(Answer::Foreign(Arc::new(answered?), Era::Legacy));
        }
        let session = arrival.exchange.session().and_then(|id| self.sessions.peek(&id));
        let session = session.ok_or_else(|| gone("the client has no session to answer in"))?;
        let (id, answer) = session
            .ask()
            .ok_or_else(|| gone("too many questions wait for the client already"))?;
        let member = |name| params.and_then(|params| params.get(name));
        // A server of the modern era gives an out-of-band question no name; a session's client needs one.
        let nameless =
            member("mode").is_some_and(|mode| mode.is_str("url")) && member("elicitationId").is_none();
        let text = jsonrpc::request(&id, method, |out| {
            write_params(call, out);
            if nameless {
                out.string("elicitationId", &arrival.call.0);
            }
        });
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

fn gone(why: &str) -> Objection {
    Objection::new(&refusal::CLIENT_GONE, why)
}

/// What a client must have declared to be asked this.
fn needed(method: Method, params: Option<Node<'_>>) -> Option<&'static [&'static str]> {
    let has = |name| params.is_some_and(|params| params.get(name).is_some());
    let mode = params.and_then(|params| params.get("mode"));
    if method == Method::ElicitationCreate {
        let url = mode.is_some_and(|mode| mode.is_str("url"));
        return Some(if url {
            &["elicitation", "url"]
        } else {
            &["elicitation"]
        });
    }
    if method == Method::SamplingCreateMessage {
        let tools = has("tools") || has("toolChoice");
        return Some(if tools {
            &["sampling", "tools"]
        } else {
            &["sampling"]
        });
    }
    (method == Method::RootsList).then_some(&["roots"])
}

/// Whether a client of the modern era asked for this with its call: it hears of logs only if it did.
fn is_wanted(method: Method, params: Option<Node<'_>>, least: Option<LogLevel>) -> bool {
    if method != Method::NotificationsMessage {
        return method.exists(Revision::V2026_07_28, Direction::ToClient);
    }
    let level = params
        .and_then(|params| params.get("level"))
        .and_then(Node::as_str)
        .and_then(|level| LogLevel::parse(&level));
    matches!((least, level), (Some(least), Some(level)) if level >= least)
}

/// The parameters as judged, without keys that are the gateway's to set, and with the name the client knows the
/// subscription by, where it is one's.
fn write_params(call: &Passed<Recorded>, out: &mut ObjectWriter<'_>) {
    let Some(params) = call.arrival().message.params() else {
        return;
    };
    let mut edits: Edits = call.outgoing().clone();
    let given = meta::of(params);
    for (key, value) in given.into_iter().flat_map(Node::members) {
        let name = key.as_str().unwrap_or_default();
        if meta::is_ours(&name) || name == meta::SUBSCRIPTION_ID {
            edits.remove(value);
        }
    }
    let Some((_, id)) = call.arrival().exchange.subscription() else {
        return out.members_except(params, &[], &edits);
    };
    out.members_except(params, &["_meta"], &edits);
    out.object("_meta", |out| {
        if let Some(given) = given {
            out.members_except(given, &[], &edits);
        }
        id.write(meta::SUBSCRIPTION_ID, out);
    });
}
