//! The far side.

use std::{borrow::Cow, sync::Arc};

use pipeline::{
    Answer, Objection, Own, Passed,
    decide::Approved,
    forward::Recorded,
    ports::{Exchange, Upstream},
    refusal,
};
use wire::{
    json::Node,
    mcp::{Era, Method, Mismatch, ServerName, Target, meta, mirrored_params, target},
};

use super::Engines;
use crate::parked::{self, Next, Relay};

impl Upstream for Engines {
    async fn confirm(&self, call: &Passed<Approved>) -> Result<(), Objection> {
        mirrored(call).map_err(|mismatch| {
            let why = mismatch.to_string();
            Objection::new(&refusal::HEADER_MISMATCH, why.clone()).showing(why)
        })?;
        self.upstreams.confirm(call).await
    }

    async fn send(&self, call: &Passed<Recorded>) -> Result<Answer, Objection> {
        // Before it is sent: a write that fails half-way may have been done.
        self.wrote(call);
        self.note_log_level(call);
        let arrival = call.arrival();
        let modern = arrival.revision.era() == Era::Modern;
        match arrival.message.method() {
            Some(method @ (Method::PromptsGet | Method::ResourcesRead | Method::ToolsCall)) if modern => {
                self.send_or_take_up(call, method).await
            }
            method => {
                let session = arrival.session.as_ref();
                let session = session.and_then(|id| self.sessions.peek(id));
                let exchange = Arc::clone(&arrival.exchange);
                let level = session.and_then(|session| session.log_level());
                let outgoing = self.upstreams.prepare(call, exchange, level).await?;
                if method == Some(Method::LoggingSetLevel) && !outgoing.exists_there() {
                    // The session remembers it, and each request says it.
                    return Ok(Answer::Own(Arc::new(Own {
                        result: b"{}".to_vec(),
                        ..Own::default()
                    })));
                }
                outgoing.run().await
            }
        }
    }
}

impl Engines {
    /// Remembers what a session wants to hear of servers' logs.
    pub(super) fn note_log_level(&self, call: &Passed<Recorded>) {
        let arrival = call.arrival();
        if arrival.message.method() != Some(Method::LoggingSetLevel) {
            return;
        }
        let session = arrival.session.as_ref().and_then(|id| self.sessions.peek(id));
        let level = arrival.message.params().and_then(|params| params.get("level"));
        if let (Some(session), Some(level)) = (session, level.and_then(Node::as_str)) {
            session.set_log_level(&level);
        }
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
        let content = parked::content(server, method, params);
        let member = |name| params.and_then(|params| params.get(name));
        let place = match member("requestState").map(|state| state.as_str().unwrap_or_default()) {
            Some(state) => self.parking.take_up(
                &state,
                call.caller(),
                content,
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
                    level.map(Cow::into_owned),
                );
                relay.take_early(member("inputResponses"));
                let exchange = Arc::clone(&relay) as Arc<dyn Exchange>;
                let outgoing = self.upstreams.prepare(call, exchange, None).await?;
                self.parking
                    .begin(&self.ambient, call.caller(), content, relay, outgoing.run())
            }
        };
        match self.parking.next(place, &self.ambient).await? {
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
