//! What an answer says in the gateway's own words: that it is an answer, a task or a question.
//!
//! A question takes the road by itself, and what a client gets to see of it the gateway writes (`parked`, `task_questions`).
//! So an answer that poses as one here took no road: it came where the revision has none (MRTR: tools/call, prompts/get and
//! resources/read of servers of the modern era). It is withheld whole, since nothing in it is what was asked for. Without
//! the word that makes them a question, `inputRequests` and `requestState` mean nothing, and `wire::mcp::shape` leaves them out.

use pipeline::{Answer, Arrival, Objection, refusal};
use wire::{
    json::Node,
    jsonrpc,
    mcp::{Era, Method, TASKS_EXTENSION},
};

/// Lets through what is an answer.
pub(super) fn answers(arrival: &Arrival, answer: Answer) -> Result<Answer, Objection> {
    if let Answer::Foreign(response, era) = &answer
        && let jsonrpc::Answer::Result(result) = response.answer()
    {
        let method = arrival.message.method();
        is_answer(result, *era, || may_be_task(arrival, method))?;
        // What a task came to.
        if let (Some(Method::TasksGet), Some(inner)) = (method, result.get("result")) {
            is_answer(inner, *era, || false)?;
        }
    }
    Ok(answer)
}

fn is_answer(result: Node<'_>, era: Era, may_be_task: impl Fn() -> bool) -> Result<(), Objection> {
    let Some(kind) = result.get("resultType") else {
        return Ok(());
    };
    let garbled = |why: &str| Err(Objection::new(&refusal::UPSTREAM_GARBLED, why));
    match (kind.as_str().as_deref(), era) {
        (Some("complete"), _) => Ok(()),
        (Some("input_required"), _) => garbled("it asks in an answer, where nothing may be asked"),
        // Servers of sessions have no such word; whatever they mean by it is left out.
        (_, Era::Legacy) => Ok(()),
        (Some("task"), Era::Modern) if may_be_task() => Ok(()),
        (Some("task"), Era::Modern) => garbled("it makes a task of what may not become one"),
        (Some(_) | None, Era::Modern) => garbled("a result of a type that nobody knows"),
    }
}

/// Only where the client declared the extension with this call.
fn may_be_task(arrival: &Arrival, method: Option<Method>) -> bool {
    let declared = arrival.capabilities.at(&["extensions", TASKS_EXTENSION]);
    method == Some(Method::ToolsCall) && arrival.revision.era() == Era::Modern && declared.is_some()
}
