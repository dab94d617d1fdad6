//! What an answer says in the gateway's own words: that it is an answer, a task or a question.
//!
//! A question takes the road by itself, and what a client gets to see of it the gateway writes (`parked`, `task_questions`).
//! So an answer that poses as one here took no road: it came where the revision has none (MRTR: tools/call, prompts/get and
//! resources/read of servers of the modern era). It is withheld whole, since nothing in it is what was asked for. Without
//! the word that makes them a question, `inputRequests` and `requestState` mean nothing, and `wire::mcp::shape` leaves them out.

use std::sync::{Arc, Mutex, PoisonError};

use pipeline::{
    Answer, Arrival, Capabilities, Objection, Passed,
    forward::Recorded,
    ports::{Asks, Boxed, Caller, Exchange, Question},
    refusal,
};
use upstream::{Backchannel, Incoming, addresses_to_open, asks_to_open, refused_question};
use wire::{
    bounds::ANSWER,
    json::{Edits, Keys, Node, object},
    jsonrpc::{self, Id, Message, Response},
    mcp::{Era, LogLevel, Method, Revision, ServerName, TASKS_EXTENSION, code},
};

use super::Engines;

impl Engines {
    /// Error -32042 of 2025-11-25 ("open this first") asks, too: each address takes the road as the question that it is, and
    /// the client is told of what was judged, or of none.
    pub(super) async fn judged(&self, call: &Passed<Recorded>, answer: Answer) -> Result<Answer, Objection> {
        let Answer::Foreign(response, era) = &answer else {
            return Ok(answer);
        };
        let jsonrpc::Answer::Error(error) = response.answer() else {
            return Ok(answer);
        };
        let Some(addresses) = addresses_to_open(error).map_err(garbled)? else {
            return Ok(answer);
        };
        let arrival = call.arrival();
        let (Some(server), Revision::V2025_11_25) = (call.resolution().server_name(), arrival.revision)
        else {
            return Err(garbled(
                "it asks by an error, which the client's revision does not have",
            ));
        };
        if addresses.is_empty() {
            return Err(garbled("it asks by an error for nothing"));
        }
        let mut shown = Vec::new();
        for asked in addresses {
            shown.push(self.judged_address(server, arrival, asked).await?);
        }
        let id = response.id().cloned().unwrap_or(Id::Integer(0));
        let message = error.get("message").and_then(Node::as_str).unwrap_or_default();
        let data = object(|out| {
            out.array("elicitations", |list| shown.iter().for_each(|one| list.json(one)));
        });
        let text = jsonrpc::error(Some(&id), code::URL_ELICITATION_REQUIRED, &message, Some(&data));
        match Message::parse(text, Keys::Exact, &ANSWER) {
            Ok(Message::Response(judged)) => Ok(Answer::Foreign(Arc::new(judged), *era)),
            Ok(Message::Notification(_) | Message::Request(_)) | Err(_) => {
                Err(garbled("an error that cannot be read"))
            }
        }
    }

    async fn judged_address(
        &self,
        server: &ServerName,
        arrival: &Arrival,
        asked: Node<'_>,
    ) -> Result<Vec<u8>, Objection> {
        let method = Method::ElicitationCreate;
        let text = jsonrpc::request(&Id::Integer(0), method, |out| {
            out.members_except(asked, &[], &Edits::default());
        });
        let message = Message::parse(text, Keys::Exact, &ANSWER);
        let message = message.map_err(|_| garbled("it asks what is no question"))?;
        let shown = Arc::new(Shown {
            of_call: Arc::clone(&arrival.exchange),
            params: Mutex::default(),
        });
        let incoming = Incoming {
            server: server.clone(),
            revision: Revision::V2025_11_25,
            message,
            exchange: Some(Arc::clone(&shown) as Arc<dyn Exchange>),
            owner: None,
            session: None,
        };
        let said = self.behind.incoming(incoming).await;
        if let Some(refused) = said.and_then(|said| said.refused) {
            return Err(refused_question(method, *refused, arrival.revision.era()));
        }
        let judged = shown.params.lock().unwrap_or_else(PoisonError::into_inner).take();
        judged.ok_or_else(|| Objection::new(&refusal::INTERNAL, "a question was lost"))
    }
}

fn garbled(why: &str) -> Objection {
    Objection::new(&refusal::UPSTREAM_GARBLED, why)
}

/// The client's side of a question that its call's error shows it: what was judged is kept for that.
#[derive(Debug)]
struct Shown {
    of_call: Arc<dyn Exchange>,
    params: Mutex<Option<Vec<u8>>>,
}

impl Exchange for Shown {
    fn admitted(&self, _: &Caller) {}

    fn caller(&self) -> Option<Caller> {
        self.of_call.caller()
    }

    fn session(&self) -> Option<Arc<str>> {
        self.of_call.session()
    }

    fn deliver(&self, _: Vec<u8>) -> Boxed<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn withdrawn(&self) -> Boxed<'_, ()> {
        self.of_call.withdrawn()
    }

    fn asks(&self) -> Option<&dyn Asks> {
        Some(self)
    }
}

impl Asks for Shown {
    /// The session's count.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn log_level(&self) -> Option<LogLevel> {
        None
    }

    fn expect(&self, _: &[Id]) {}

    fn settled(&self, _: &Id) {}

    /// Nothing is answered: the client opens it or does not, and calls again.
    fn ask(&self, question: Question) -> Boxed<'static, Result<Response, Objection>> {
        *self.params.lock().unwrap_or_else(PoisonError::into_inner) = Some(question.params);
        let taken = Message::parse(jsonrpc::result(&question.id, b"{}"), Keys::Exact, &ANSWER);
        let taken = match taken {
            Ok(Message::Response(taken)) => Ok(taken),
            Ok(Message::Notification(_) | Message::Request(_)) | Err(_) => {
                Err(Objection::new(&refusal::INTERNAL, "a question was lost"))
            }
        };
        Box::pin(std::future::ready(taken))
    }
}

/// Lets through what is an answer.
pub(super) fn answers(arrival: &Arrival, answer: Answer) -> Result<Answer, Objection> {
    if let Answer::Foreign(response, era) = &answer
        && let jsonrpc::Answer::Result(result) = response.answer()
    {
        let method = arrival.message.method();
        is_answer(result, *era, || may_be_task(arrival, method))?;
        // What a task came to.
        if method == Some(Method::TasksGet) {
            if let Some(inner) = result.get("result") {
                is_answer(inner, *era, || false)?;
            }
            if result.get("error").is_some_and(asks_to_open) {
                return Err(garbled("its task asks by an error"));
            }
        }
    }
    Ok(answer)
}

fn is_answer(result: Node<'_>, era: Era, may_be_task: impl Fn() -> bool) -> Result<(), Objection> {
    let Some(kind) = result.get("resultType") else {
        return Ok(());
    };
    match (kind.as_str().as_deref(), era) {
        (Some("complete"), _) => Ok(()),
        (Some("input_required"), _) => Err(garbled("it asks in an answer, where nothing may be asked")),
        // Servers of sessions have no such word; whatever they mean by it is left out.
        (_, Era::Legacy) => Ok(()),
        (Some("task"), Era::Modern) if may_be_task() => Ok(()),
        (Some("task"), Era::Modern) => Err(garbled("it makes a task of what may not become one")),
        (Some(_) | None, Era::Modern) => Err(garbled("a result of a type that nobody knows")),
    }
}

/// Only where the client declared the extension with this call.
fn may_be_task(arrival: &Arrival, method: Option<Method>) -> bool {
    let declared = arrival.capabilities.at(&["extensions", TASKS_EXTENSION]);
    method == Some(Method::ToolsCall) && arrival.revision.era() == Era::Modern && declared.is_some()
}
