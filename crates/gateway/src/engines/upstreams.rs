//! The far side.

use std::sync::Arc;

use pipeline::{
    Answer, Arrival, Objection, Own, Passed, Resolution,
    decide::Approved,
    forward::Recorded,
    ports::{Exchange, Upstream},
    refusal::{self, Code, Manner},
    release::Screened,
};
use upstream::Watcher;
use wire::{
    bounds::ANSWER,
    json::{Document, Edits, Keys, Node, object},
    jsonrpc::{self, Id, Message},
    mcp::{
        Era, LogLevel, Method, Mismatch, Revision, ServerName, Target, code, meta, mirrored_params, target,
    },
};

use super::{
    Engines,
    asking::{Codes, Link, by_url},
    flow, local, posed,
};
use crate::{
    conversations::{
        exchange::SessionExchange,
        parked::{self, Next, Relay},
        task_owners,
    },
    operate::halts::Scope,
};

/// The name of our question among those of a result that asks for input (2026-07-28).
const CONSENT: &str = "io.sallyport/consent";

/// A call that waits for a person's consent, said as a question.
static CONSENT_ASKED: Codes = Codes {
    error: &Code {
        manner: Manner::Error,
        rpc: code::URL_ELICITATION_REQUIRED,
        ..refusal::CONSENT_NEEDED
    },
    result: &Code {
        manner: Manner::Ask,
        ..refusal::CONSENT_NEEDED
    },
};

impl Upstream for Engines {
    async fn confirm(&self, call: &Passed<Approved>) -> Result<(), Objection> {
        mirrored(call).map_err(|mismatch| {
            let why = mismatch.to_string();
            Objection::new(&refusal::HEADER_MISMATCH, why.clone()).showing(why)
        })?;
        let reached = self.halts.reached(Scope {
            principal: call.principal(),
            context: Some(call.context().id()),
            server: call.resolution().server_name(),
        });
        let confirmed = tokio::select! {
            biased;
            halt = reached => Err(halt.objection()),
            confirmed = self.upstreams.confirm(call) => confirmed,
        };
        confirmed.map_err(|objection| self.said(call.arrival(), objection))
    }

    async fn send(&self, call: &Passed<Recorded>) -> Result<Answer, Objection> {
        let sent = self.unless_halted(call, self.send_on(call)).await;
        let sent = match sent.and_then(|answer| posed::answers(call.arrival(), answer)) {
            Ok(answer) => Box::pin(self.judged(call, answer)).await,
            refused => refused,
        };
        sent.map_err(|objection| self.said(call.arrival(), objection))
    }
}

impl Engines {
    async fn send_on(&self, call: &Passed<Recorded>) -> Result<Answer, Objection> {
        // Before it is sent: a write that fails half-way may have been done.
        self.wrote(call);
        let arrival = call.arrival();
        // Before the server can say it again.
        call.context()
            .uses(&flow::Seen::new(call.resolution().resource(), arrival).call());
        let modern = arrival.revision.era() == Era::Modern;
        let answer = match arrival.message.method() {
            Some(method @ (Method::PromptsGet | Method::ResourcesRead | Method::ToolsCall)) if modern => {
                self.send_or_take_up(call, method).await
            }
            Some(Method::TasksGet) if modern => Box::pin(self.get_task(call)).await,
            Some(Method::TasksCancel) if modern => {
                self.close_task(call);
                let exchange = self.heeding(call, Arc::clone(&arrival.exchange));
                self.upstreams.prepare(call, exchange, None).await?.run().await
            }
            Some(Method::TasksUpdate) => Box::pin(self.update_task(call)).await,
            Some(method @ (Method::ResourcesSubscribe | Method::ResourcesUnsubscribe)) => {
                let watcher = self.watcher(call)?;
                let answer = Box::pin(self.upstreams.subscribe(call, method, watcher)).await;
                // A session that ended meanwhile did not see what it watches.
                if let Some(id) = &arrival.session
                    && self.sessions.peek(id).is_none()
                {
                    self.upstreams.end_watches(id);
                }
                answer
            }
            method => {
                let level = self.log_level(call, method)?;
                let exchange = self.heeding(call, Arc::clone(&arrival.exchange));
                let outgoing = self.upstreams.prepare(call, exchange, level).await?;
                // The modern era has no such method: the level goes with each request.
                if method == Some(Method::LoggingSetLevel) && outgoing.era() == Era::Modern {
                    return Ok(local::own(b"{}".to_vec()));
                }
                outgoing.run().await
            }
        };
        self.own_tasks(call, answer?)
    }

    /// A server that wants a person's consent: they are asked in the way their client can show a link.
    fn said(&self, arrival: &Arrival, objection: Objection) -> Objection {
        if *objection.code != refusal::CONSENT_NEEDED {
            return objection;
        }
        let Some(data) = objection.data.as_deref() else {
            return objection;
        };
        let Ok(data) = Document::parse(data.to_vec(), Keys::Exact, &ANSWER) else {
            return objection;
        };
        let text = |name| data.root().get(name).and_then(Node::as_str).unwrap_or_default();
        let (id, url, message) = (text("elicitationId"), text("url"), text("message"));
        if arrival.revision == Revision::V2025_11_25
            && let Some(session) = &arrival.session
        {
            self.outbound.tell(&id, session);
        }
        let link = Link {
            id: &id,
            url: &url,
            message: &message,
            question: CONSENT,
        };
        by_url(
            arrival,
            &link,
            &CONSENT_ASKED,
            Objection {
                data: None,
                ..objection
            },
        )
    }

    /// The least level of log messages a session wants: with `logging/setLevel` it says so.
    pub(super) fn log_level(
        &self,
        call: &Passed<Recorded>,
        method: Option<Method>,
    ) -> Result<Option<LogLevel>, Objection> {
        let arrival = call.arrival();
        let session = arrival.session.as_ref().and_then(|id| self.sessions.peek(id));
        let Some(session) = session else { return Ok(None) };
        if method == Some(Method::LoggingSetLevel) {
            let level = arrival.message.params().and_then(|params| params.get("level"));
            let level = level
                .and_then(Node::as_str)
                .and_then(|level| LogLevel::parse(&level));
            let why = "`level` is no level of log messages";
            let unknown = || Objection::new(&refusal::PARAMS_INVALID, why).showing(why);
            session.set_log_level(level.ok_or_else(unknown)?);
        }
        Ok(session.log_level())
    }

    /// Takes from a list of tasks what is not the caller's, before anybody reads it.
    fn own_tasks(&self, call: &Passed<Recorded>, answer: Answer) -> Result<Answer, Objection> {
        let lists = call.arrival().message.method() == Some(Method::TasksList);
        let (Answer::Foreign(response, era), Some(server), true) =
            (&answer, call.resolution().server_name(), lists)
        else {
            return Ok(answer);
        };
        let jsonrpc::Answer::Result(result) = response.answer() else {
            return Ok(answer);
        };
        let owner = call.principal().key();
        let mut edits = Edits::default();
        for task in result.get("tasks").into_iter().flat_map(Node::elements) {
            let tool = |id: String| self.task_owners.tool(&owner, &id, |of| of == server);
            let own = task_owners::id_of(task).and_then(tool);
            if own.is_none() {
                edits.remove(task);
            }
        }
        let own = object(|out| out.members_except(result, &[], &edits));
        let id = response.id().cloned().unwrap_or(Id::Integer(0));
        match Message::parse(jsonrpc::result(&id, &own), Keys::Exact, &ANSWER) {
            Ok(Message::Response(own)) => Ok(Answer::Foreign(Arc::new(own), *era)),
            Ok(Message::Notification(_) | Message::Request(_)) | Err(_) => {
                let why = "a list of tasks that cannot be read";
                Err(Objection::new(&refusal::UPSTREAM_GARBLED, why))
            }
        }
    }

    /// Notes the task that a call's answer says was made. The answer is on its way out: one that is withheld
    /// makes nobody an owner.
    pub(super) fn note_task(&self, call: &Passed<Screened>) {
        let (Answer::Foreign(response, era), Resolution::Item { server, item }) =
            (call.unread(), call.resolution())
        else {
            return;
        };
        if let jsonrpc::Answer::Result(result) = response.answer()
            && call.arrival().message.method() == Some(Method::ToolsCall)
            && let Some(id) = task_owners::made(result, *era)
        {
            let owner = call.principal().key();
            self.task_owners
                .note(&server.server().name, &owner, &id, item.resource());
        }
    }

    /// Who hears of what a call subscribes to: a session, or a stream of subscriptions.
    fn watcher(&self, call: &Passed<Recorded>) -> Result<Watcher, Objection> {
        let arrival = call.arrival();
        if let Some((listening, _)) = arrival.exchange.subscription() {
            return Ok(Watcher {
                name: Arc::clone(&listening.0),
                exchange: Arc::clone(&arrival.exchange),
            });
        }
        let session = arrival.session.as_ref().and_then(|id| self.sessions.peek(id));
        let nobody = || Objection::new(&refusal::SESSION_MISSING, "no session that could hear of it");
        let session = session.ok_or_else(nobody)?;
        Ok(Watcher {
            name: Arc::clone(&session.id),
            exchange: Arc::new(SessionExchange(session)),
        })
    }

    /// A call of a modern client, whose server may ask before it answers.
    async fn send_or_take_up(&self, call: &Passed<Recorded>, method: Method) -> Result<Answer, Objection> {
        let arrival = call.arrival();
        let params = arrival.message.params();
        let server = call
            .resolution()
            .server_name()
            .map(ServerName::as_str)
            .unwrap_or_default();
        let content = || parked::content(server, method, params);
        let member = |name| params.and_then(|params| params.get(name));
        let place = match member("requestState").map(|state| state.as_str().unwrap_or_default()) {
            Some(state) => self.parking.take_up(
                &state,
                call.caller(),
                content(),
                member("inputResponses"),
                Arc::clone(&arrival.exchange),
                arrival.received_ms,
            )?,
            None => {
                let meta = params.and_then(meta::of);
                let level = meta
                    .and_then(|meta| meta.get(meta::LOG_LEVEL))
                    .and_then(Node::as_str);
                let relay = Relay::new(
                    Arc::clone(&arrival.exchange),
                    arrival.capabilities.clone(),
                    level.and_then(|level| LogLevel::parse(&level)),
                    self.parking.room(call.caller()),
                );
                relay.take_early(member("inputResponses"));
                let exchange = self.heeding(call, Arc::clone(&relay) as Arc<dyn Exchange>);
                let outgoing = self.upstreams.prepare(call, exchange, None).await?;
                let bytes = params.map_or(0, |params| params.document().bytes_held());
                let relay = (relay, bytes);
                self.parking
                    .begin(&self.ambient, call.caller(), relay, call.held(), outgoing.run())
            }
        };
        match self.parking.next(place, content, &self.ambient).await? {
            Next::Answer(answer) => answer,
            Next::Questions(result) => Ok(Answer::Own(Arc::new(Own {
                result,
                asks: true,
                ..Own::default()
            }))),
        }
    }
}

/// Arguments that the tool's schema has mirrored in headers must say there what they say in the body
/// (2026-07-28 over HTTP). Only now is it known that the caller may know the schema.
fn mirrored(call: &Passed<Approved>) -> Result<(), Mismatch> {
    let arrival = call.arrival();
    let Some(item) = call.resolution().item() else {
        return Ok(());
    };
    if arrival.via.transport != "http" || arrival.revision.era() == Era::Legacy {
        return Ok(());
    }
    let Ok(Target::Tool { arguments, .. }) = target(&arrival.message) else {
        return Ok(());
    };
    let schema = item.definition().document().root().get("inputSchema");
    // What cannot be mirrored is not offered over HTTP; behind pipes it may be, and binds nobody.
    let params = schema
        .map(mirrored_params)
        .and_then(Result::ok)
        .unwrap_or_default();
    for param in params {
        let mut sent = arrival
            .via
            .mirrored
            .iter()
            .filter(|(name, _)| name == param.header());
        let header = sent.next().map(|(_, value)| value.as_str());
        if sent.next().is_some() {
            return Err(Mismatch::Malformed("Mcp-Param-*"));
        }
        param.agree(header, arguments)?;
    }
    Ok(())
}
