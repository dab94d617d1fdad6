//! Tasks between the eras: what 2025-11-25 has in its core and 2026-07-28 as an extension, each in the other's words.
//!
//! In the core the client asks for a task, and waits for its result by a request of its own (`tasks/result`). In the
//! extension the server decides that a call becomes a task, and `tasks/get` brings the result. Knows nothing of whose a
//! task is: that was judged before.
//! (2025-11-25 basic/utilities/tasks; ext-tasks 2026-07-28.)

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use pipeline::{Answer, Objection, Passed, Resolution, forward::Recorded, ports::Boxed};
use tokio::time::Instant;
use wire::{
    bounds::ANSWER,
    json::{Edits, Keys, Kind, Node, ObjectWriter, object},
    jsonrpc::{self, Id, Message, Response},
    mcp::{Era, Method, TASKS_EXTENSION, code, meta},
};

use crate::{
    LinkError,
    link::{Head, Link, Side},
    outgoing::{Outgoing, Questions, in_result},
};

/// How often a task is asked for, where it does not say: between these.
const POLL_MIN: Duration = Duration::from_millis(100);
const POLL_MAX: Duration = Duration::from_secs(5);
/// Most questions of one task over its life.
const QUESTIONS_MAX: usize = 256;

/// Whether a call becomes a task at the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Making {
    /// As the client's message says, in its own era.
    AsSaid,
    /// Between the eras: no task.
    Plain,
    /// Between the eras: a task, which the client is told of.
    Told,
    /// The server makes this nothing else, and the client knows no tasks: the gateway waits for what it comes to.
    Awaited,
}

impl Making {
    /// What becomes of a call over this link.
    pub(crate) fn of(call: &Passed<Recorded>, method: Method, link: &Link) -> Self {
        let arrival = call.arrival();
        let (client, server) = (arrival.revision.era(), link.revision.era());
        if client == server || method != Method::ToolsCall {
            return Self::AsSaid;
        }
        let offered = link.offered.capabilities.root();
        let at = |path: &[&str]| {
            path.iter()
                .try_fold(offered, |node, name| node.get(name))
                .is_some()
        };
        if server == Era::Modern {
            let wanted = arrival.message.params().and_then(|params| params.get("task"));
            return match wanted {
                Some(_) if at(&["extensions", TASKS_EXTENSION]) => Self::Told,
                Some(_) | None => Self::Plain,
            };
        }
        let support = match call.resolution() {
            Resolution::Item { item, .. } => {
                let tool = item.definition().document().root();
                tool.get("execution")
                    .and_then(|execution| execution.get("taskSupport"))
            }
            Resolution::Client { .. }
            | Resolution::Gateway
            | Resolution::Model { .. }
            | Resolution::Server { .. } => None,
        };
        let says = |word: &str| support.is_some_and(|support| support.is_str(word));
        let declared = arrival
            .capabilities
            .at(&["extensions", TASKS_EXTENSION])
            .is_some();
        // What rules demand of the answer can be met only where the answer comes back to this call.
        let is_owed = call.permit().obligations().iter().any(|o| o.holds_answer());
        match (at(&["tasks", "requests", "tools", "call"]), declared && !is_owed) {
            (true, true) if says("required") || says("optional") => Self::Told,
            (true, false) if says("required") => Self::Awaited,
            (_, _) => Self::Plain,
        }
    }
}

/// A question of a task: its name, and what comes of it.
pub type TaskQuestion = (String, Boxed<'static, Result<Vec<u8>, Objection>>);

impl Outgoing {
    /// Whether it is for the client's own era to say what the answer means.
    pub(crate) fn is_bridged(&self) -> bool {
        let of_tasks = matches!(
            self.method,
            Method::TasksCancel
                | Method::TasksGet
                | Method::TasksList
                | Method::TasksResult
                | Method::TasksUpdate
        );
        self.client != self.era() && (of_tasks || matches!(self.making, Making::Awaited | Making::Told))
    }

    /// Sends what concerns a task to a server of the other era.
    pub(crate) async fn bridged(&self) -> Result<Answer, Objection> {
        let (response, era) = match (self.method, self.era()) {
            (Method::ToolsCall, _) => {
                let Answer::Foreign(response, era) = self.asked_as_is().await? else {
                    return Err(LinkError::Garbled("no answer to a call".to_owned()).into());
                };
                let Some(task) = made(&response, era) else {
                    return Ok(Answer::Foreign(response, era));
                };
                if self.making == Making::Awaited {
                    (self.waited_for(task).await?, era)
                } else {
                    (told(&response, task, self.client)?, self.client)
                }
            }
            (Method::TasksGet, Era::Legacy) => (self.with_result().await?, Era::Modern),
            (Method::TasksCancel, Era::Legacy) => (self.acknowledged().await?, Era::Modern),
            (Method::TasksGet, Era::Modern) => {
                let response = self.about(Method::TasksGet, None).await?;
                (bare(&response)?, Era::Legacy)
            }
            (Method::TasksCancel, Era::Modern) => {
                let cancelled = self.about(Method::TasksCancel, None).await?;
                match cancelled.answer() {
                    jsonrpc::Answer::Error(_) => (cancelled, Era::Legacy),
                    jsonrpc::Answer::Result(_) => {
                        let response = self.about(Method::TasksGet, None).await?;
                        (bare(&response)?, Era::Legacy)
                    }
                }
            }
            (Method::TasksResult, Era::Modern) => (self.polled().await?, Era::Legacy),
            (_, _) => return Err(LinkError::Absent("this about tasks").into()),
        };
        Ok(Answer::Foreign(Arc::new(response), era))
    }

    /// What a task asks of a server of the modern era, but for questions that were put already: each takes the road
    /// when it is awaited.
    ///
    /// # Errors
    /// When the server asks what clients are not asked.
    pub fn task_questions(
        &self,
        task: Node<'_>,
        is_put: impl Fn(&str) -> bool,
    ) -> Result<Vec<TaskQuestion>, Objection> {
        let mut questions = Vec::new();
        for (key, method, params) in in_result(task)? {
            if !is_put(&key) {
                let answer = self.question((key.clone(), method, params))?;
                questions.push((key, answer));
            }
        }
        Ok(questions)
    }

    /// Hands a task at a server of the modern era what was answered to its questions: an object by their names.
    ///
    /// # Errors
    /// When the server cannot be reached or fails.
    pub async fn update_task(&self, responses: Vec<u8>) -> Result<Answer, Objection> {
        let response = self.about(Method::TasksUpdate, Some(responses)).await?;
        Ok(Answer::Foreign(Arc::new(response), self.era()))
    }

    /// Waits for what a task comes to at a server of sessions, which asks its questions meanwhile.
    ///
    /// # Errors
    /// When the server cannot be reached or fails.
    pub async fn await_task(self) -> Result<(), Objection> {
        self.about(Method::TasksResult, None).await.map(drop)
    }

    /// A request about the task that the message names.
    async fn about(&self, method: Method, responses: Option<Vec<u8>>) -> Result<Response, Objection> {
        let id = self.head.name.clone().unwrap_or_default();
        self.about_task(method, &id, responses).await
    }

    async fn about_task(
        &self,
        method: Method,
        id: &str,
        responses: Option<Vec<u8>>,
    ) -> Result<Response, Objection> {
        let encoded = self.encoded.about_task(method, id, responses.as_deref());
        let head = Head {
            method: method.name(),
            name: Some(id.to_owned()),
            params: Vec::new(),
            ..self.head.clone()
        };
        Ok(self
            .link
            .ask(head, |id| encoded.request(id, &Default::default()), self.side())
            .await?)
    }

    /// A task at a server of sessions, with what it came to: there that takes a request of its own.
    async fn with_result(&self) -> Result<Response, Objection> {
        let response = self.about(Method::TasksGet, None).await?;
        let jsonrpc::Answer::Result(task) = response.answer() else {
            return Ok(response);
        };
        let is = |word: &str| task.get("status").is_some_and(|status| status.is_str(word));
        if !is("completed") && !is("failed") {
            return rebuilt(&response, |out| write_task(task, Era::Modern, None, out));
        }
        let ended = self.about(Method::TasksResult, None).await?;
        rebuilt(&response, |out| match ended.answer() {
            // A tool that failed is a call that was completed; a task fails by errors of the protocol alone.
            jsonrpc::Answer::Result(result) => {
                write_task(task, Era::Modern, Some("completed"), out);
                out.object("result", |out| {
                    out.members_except(result, &["_meta"], &Edits::default());
                    write_foreign_meta(result, out);
                });
            }
            jsonrpc::Answer::Error(error) => {
                write_task(task, Era::Modern, Some("failed"), out);
                out.node("error", error);
            }
        })
    }

    async fn acknowledged(&self) -> Result<Response, Objection> {
        let response = self.about(Method::TasksCancel, None).await?;
        match response.answer() {
            jsonrpc::Answer::Error(_) => Ok(response),
            jsonrpc::Answer::Result(_) => rebuilt(&response, |_| {}),
        }
    }

    /// For a client that knows no tasks: what the task that its call became comes to. A client that leaves takes the task
    /// with it.
    async fn waited_for(&self, task: Node<'_>) -> Result<Response, Objection> {
        let id = id_of(task)?;
        let ended = self.about_task(Method::TasksResult, &id, None).await;
        if ended.is_err() {
            // Best effort, and nobody's to withdraw: whoever called is told of the first failure.
            let encoded = self.encoded.about_task(Method::TasksCancel, &id, None);
            let head = Head {
                method: Method::TasksCancel.name(),
                name: Some(id.clone()),
                params: Vec::new(),
                ..self.head.clone()
            };
            let body = |id| encoded.request(id, &Default::default());
            let cancel = self.link.ask(head, body, Side::default());
            let _ = tokio::time::timeout(POLL_MAX, cancel).await;
        }
        let ended = ended?;
        match ended.answer() {
            jsonrpc::Answer::Error(_) => Ok(ended),
            jsonrpc::Answer::Result(result) => rebuilt(&ended, |out| {
                out.members_except(result, &["_meta"], &Edits::default());
                write_foreign_meta(result, out);
            }),
        }
    }

    /// What a task at a server of the modern era comes to, for a client that waits for it: asked for until it has ended.
    async fn polled(&self) -> Result<Response, Objection> {
        let id = self.head.name.clone().unwrap_or_default();
        let began = Instant::now();
        let mut put = BTreeSet::new();
        loop {
            let response = self.about(Method::TasksGet, None).await?;
            let jsonrpc::Answer::Result(task) = response.answer() else {
                return Ok(response);
            };
            let status = task.get("status").and_then(Node::as_str).unwrap_or_default();
            match status.as_ref() {
                "completed" => return completed(&response, task, &id),
                "failed" => return failed(&response, task.get("error")),
                "cancelled" => return failed(&response, None),
                "input_required" => {
                    let mut asked = in_result(task)?;
                    asked.retain(|(key, ..)| put.insert(key.clone()));
                    if put.len() > QUESTIONS_MAX {
                        return Err(LinkError::Garbled("a task asks too much".to_owned()).into());
                    }
                    let questions = Questions::of_task(asked);
                    if !questions.is_empty()
                        && let Some(given) = self.put(&questions).await?
                        && let Some(responses) = given.responses
                    {
                        self.about(Method::TasksUpdate, Some(responses)).await?;
                    }
                }
                _ => {}
            }
            let longest = self.link.longest_call();
            if began.elapsed() > longest {
                return Err(LinkError::Timeout(longest).into());
            }
            tokio::select! {
                () = self.exchange.withdrawn() => return Err(LinkError::Withdrawn.into()),
                () = tokio::time::sleep(poll_interval(task)) => {}
            }
        }
    }
}

/// The task that a call has become, where its answer says that it has.
fn made(response: &Response, era: Era) -> Option<Node<'_>> {
    let jsonrpc::Answer::Result(result) = response.answer() else {
        return None;
    };
    match era {
        Era::Legacy => result.get("task").filter(|task| task.kind() == Kind::Object),
        Era::Modern => {
            let is_task = result.get("resultType").is_some_and(|kind| kind.is_str("task"));
            is_task.then_some(result)
        }
    }
}

/// The answer that says that a call became a task, in an era's words.
fn told(response: &Response, task: Node<'_>, era: Era) -> Result<Response, Objection> {
    rebuilt(response, |out| {
        match era {
            Era::Legacy => out.object("task", |out| write_task(task, era, None, out)),
            Era::Modern => {
                out.string("resultType", "task");
                write_task(task, era, None, out);
            }
        }
        if let jsonrpc::Answer::Result(result) = response.answer() {
            write_foreign_meta(result, out);
        }
    })
}

/// A task without what it came to and what it asks, for a client that asks for those apart.
fn bare(response: &Response) -> Result<Response, Objection> {
    let jsonrpc::Answer::Result(task) = response.answer() else {
        let copy = Message::parse(
            response.document().text().as_bytes().to_vec(),
            Keys::Exact,
            &ANSWER,
        );
        return read(copy.ok());
    };
    rebuilt(response, |out| write_task(task, Era::Legacy, None, out))
}

fn completed(response: &Response, task: Node<'_>, id: &str) -> Result<Response, Objection> {
    let none = || LinkError::Garbled("a completed task without a result".to_owned());
    let result = task.get("result").filter(|result| result.kind() == Kind::Object);
    let result = result.ok_or_else(none)?;
    rebuilt(response, |out| {
        out.members_except(result, &["_meta", "resultType"], &Edits::default());
        out.object("_meta", |out| {
            if let Some(meta) = result.get("_meta").filter(|meta| meta.kind() == Kind::Object) {
                out.members_except(meta, &[meta::RELATED_TASK], &Edits::default());
            }
            out.object(meta::RELATED_TASK, |out| out.string("taskId", id));
        });
    })
}

fn failed(response: &Response, error: Option<Node<'_>>) -> Result<Response, Objection> {
    let id = response.id().cloned().unwrap_or(Id::Integer(0));
    let text = match error.filter(|error| error.kind() == Kind::Object) {
        Some(error) => object(|out| {
            out.string("jsonrpc", "2.0");
            id.write("id", out);
            out.node("error", error);
        }),
        None => jsonrpc::error(Some(&id), code::INVALID_PARAMS, "the task was cancelled", None),
    };
    read(Message::parse(text, Keys::Exact, &ANSWER).ok())
}

/// Writes a task's members in an era's words.
fn write_task(task: Node<'_>, era: Era, status: Option<&str>, out: &mut ObjectWriter<'_>) {
    for name in ["taskId", "status", "statusMessage", "createdAt", "lastUpdatedAt"] {
        match (name, status) {
            ("status", Some(status)) => out.string(name, status),
            (_, _) => {
                if let Some(value) = task.get(name) {
                    out.node(name, value);
                }
            }
        }
    }
    let (ttl, poll) = match era {
        Era::Legacy => (("ttlMs", "ttl"), ("pollIntervalMs", "pollInterval")),
        Era::Modern => (("ttl", "ttlMs"), ("pollInterval", "pollIntervalMs")),
    };
    match task.get(ttl.0).filter(|ttl| ttl.kind() == Kind::Number) {
        Some(given) => out.node(ttl.1, given),
        None => out.null(ttl.1),
    }
    if let Some(given) = task.get(poll.0).filter(|poll| poll.kind() == Kind::Number) {
        out.node(poll.1, given);
    }
}

/// `_meta` of a result, but for what names its task: the other era has no such key.
fn write_foreign_meta(result: Node<'_>, out: &mut ObjectWriter<'_>) {
    let meta = result.get("_meta").filter(|meta| meta.kind() == Kind::Object);
    let Some(meta) = meta else { return };
    let kept = object(|out| out.members_except(meta, &[meta::RELATED_TASK], &Edits::default()));
    if kept != b"{}" {
        out.json("_meta", &kept);
    }
}

fn poll_interval(task: Node<'_>) -> Duration {
    let asked = task.get("pollIntervalMs").and_then(Node::as_number);
    let asked = asked
        .and_then(|number| number.as_i64())
        .and_then(|ms| u64::try_from(ms).ok());
    asked
        .map_or(POLL_MIN, Duration::from_millis)
        .clamp(POLL_MIN, POLL_MAX)
}

fn id_of(task: Node<'_>) -> Result<String, Objection> {
    let id = task.get("taskId").and_then(Node::as_str);
    let none = || LinkError::Garbled("a task without an id".to_owned());
    Ok(id.ok_or_else(none)?.into_owned())
}

/// The same answer with another result.
fn rebuilt(response: &Response, write: impl FnOnce(&mut ObjectWriter<'_>)) -> Result<Response, Objection> {
    let id = response.id().cloned().unwrap_or(Id::Integer(0));
    let text = jsonrpc::result(&id, &object(write));
    read(Message::parse(text, Keys::Exact, &ANSWER).ok())
}

fn read(message: Option<Message>) -> Result<Response, Objection> {
    match message {
        Some(Message::Response(response)) => Ok(response),
        Some(Message::Notification(_) | Message::Request(_)) | None => {
            Err(LinkError::Garbled("a task that cannot be said in the client's revision".to_owned()).into())
        }
    }
}
