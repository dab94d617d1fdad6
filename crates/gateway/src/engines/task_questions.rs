//! Tasks of modern clients that ask: each question takes the road, whichever era the server speaks.

use std::sync::Arc;

use pipeline::{Answer, Objection, Passed, forward::Recorded, ports::Exchange, refusal};
use wire::{
    bounds::ANSWER,
    json::{Edits, Keys, Node, object},
    jsonrpc::{self, Id, Message, Response},
    mcp::{Era, Target, target},
};

use super::{Engines, local};
use crate::conversations::task_desks::{Task, TaskDesk};

impl Engines {
    /// `tasks/get`: what the task asks is shown as it was judged.
    pub(super) async fn get_task(&self, call: &Passed<Recorded>) -> Result<Answer, Objection> {
        let task = task_of(call)?;
        let desk = self
            .task_desks
            .of(&task, &call.principal().holder(), call.arrival());
        let exchange = self.heeding(call, Arc::clone(&desk.relay) as Arc<dyn Exchange>);
        let outgoing = self.upstreams.prepare(call, exchange, None).await?;
        let answer = outgoing.answered().await?;
        let Answer::Foreign(response, era) = &answer else {
            return Ok(answer);
        };
        let jsonrpc::Answer::Result(result) = response.answer() else {
            return Ok(answer);
        };
        let status = result.get("status").and_then(Node::as_str).unwrap_or_default();
        if status != "input_required" {
            if status != "working" {
                self.task_desks.close(&task);
            }
            if result.get("inputRequests").is_none() {
                return Ok(answer);
            }
            // What is asked takes the road or is not shown.
            let text = object(|out| out.members_except(result, &["inputRequests"], &Edits::default()));
            return Ok(Answer::Foreign(Arc::new(again(response, &text)?), *era));
        }
        let kept = self.task_desks.keep(task.clone(), &desk)?;
        if !Arc::ptr_eq(&kept, &desk) {
            // Another request was first: what that one puts is shown.
            kept.asked().await;
            return Ok(Answer::Foreign(Arc::new(asking(response, result, &kept)?), *era));
        }
        if outgoing.era() == Era::Modern {
            desk.put(outgoing.task_questions(result, |key| desk.has_put(key))?)?;
            desk.asked().await;
            // What was refused on the road is answered already.
            if let Some(responses) = desk.take_given()? {
                let told = outgoing.update_task(responses).await;
                // What the server was not told of, it is asked for anew.
                if told.is_err() {
                    self.task_desks.close(&task);
                }
                told?;
            }
        } else {
            let held = call.held();
            desk.await_once(async move {
                let _held = held;
                // The result is asked for again when the task is over.
                let _ = outgoing.await_task().await;
            });
            desk.asked().await;
        }
        Ok(Answer::Foreign(Arc::new(asking(response, result, &desk)?), *era))
    }

    /// `tasks/update`: answers go to the questions they answer, and what is nobody's answer goes nowhere.
    pub(super) async fn update_task(&self, call: &Passed<Recorded>) -> Result<Answer, Objection> {
        let arrival = call.arrival();
        let task = task_of(call)?;
        let Some(desk) = self.task_desks.at(&task) else {
            return Ok(local::own(b"{}".to_vec()));
        };
        let responses = arrival
            .message
            .params()
            .and_then(|params| params.get("inputResponses"));
        let told = desk.answer(responses).await?;
        let Some(told) = told else {
            return Ok(local::own(b"{}".to_vec()));
        };
        let exchange = self.heeding(call, Arc::clone(&arrival.exchange));
        let told = match self.upstreams.prepare(call, exchange, None).await {
            Ok(outgoing) => outgoing.update_task(told).await,
            Err(objection) => Err(objection),
        };
        if told.is_err() {
            self.task_desks.close(&task);
        }
        told
    }

    /// `tasks/cancel`: nobody answers the task's questions any more.
    pub(super) fn close_task(&self, call: &Passed<Recorded>) {
        if let Ok(task) = task_of(call) {
            self.task_desks.close(&task);
        }
    }
}

fn task_of(call: &Passed<Recorded>) -> Result<Task, Objection> {
    let unknown = || Objection::new(&refusal::TARGET_UNKNOWN, "no task");
    let Ok(Target::Task { id }) = target(&call.arrival().message) else {
        return Err(unknown());
    };
    let server = call.resolution().server_name().ok_or_else(unknown)?;
    Ok((server.clone(), call.principal().key(), id.into_owned()))
}

/// A task that asks, with the questions that were judged; one whose questions are all answered works.
fn asking(response: &Response, task: Node<'_>, desk: &TaskDesk) -> Result<Response, Objection> {
    let text = object(|out| {
        out.members_except(task, &["inputRequests", "status"], &Edits::default());
        if desk.relay.asks_anything() {
            out.string("status", "input_required");
            out.object("inputRequests", |out| desk.relay.write_questions(out));
        } else {
            out.string("status", "working");
        }
    });
    again(response, &text)
}

/// The same answer with another result.
fn again(response: &Response, result: &[u8]) -> Result<Response, Objection> {
    let id = response.id().cloned().unwrap_or(Id::Integer(0));
    match Message::parse(jsonrpc::result(&id, result), Keys::Exact, &ANSWER) {
        Ok(Message::Response(response)) => Ok(response),
        Ok(Message::Notification(_) | Message::Request(_)) | Err(_) => Err(Objection::new(
            &refusal::UPSTREAM_GARBLED,
            "a task that cannot be read",
        )),
    }
}
