//! What interceptors are asked (SEP-2624): servers that say what they think of what passes between others. They stand
//! beside the road and are reached over the gateway's own link, so that one question says nothing to the next.
//!
//! What they are told comes from callers, before anything is on record. Whoever asks has taken out of it what they may
//! not see, and writes down that they were asked. This module must not know what their answers count for.

use wire::{
    json::{ObjectWriter, object},
    jsonrpc::{Id, Response},
    mcp::{Revision, ServerName},
};

use crate::{
    LinkError, Upstreams, encode,
    link::{Head, Side},
};

/// A question for a server of interceptors.
#[derive(Clone, Copy, Debug)]
pub enum Aside<'q> {
    /// What one of them thinks of a payload.
    Invoke {
        /// Its name.
        name: &'q str,
        /// What is going on, such as `tools/call`.
        event: &'q str,
        /// `request` or `response`.
        phase: &'q str,
        /// The parameters or the result, as JSON.
        payload: &'q [u8],
        /// Milliseconds it may take.
        wait_ms: u64,
    },
    /// Which there are.
    List,
}

impl Aside<'_> {
    fn method(self) -> &'static str {
        match self {
            Self::Invoke { .. } => "interceptor/invoke",
            Self::List => "interceptors/list",
        }
    }

    fn write(self, revision: Revision, out: &mut ObjectWriter<'_>) {
        encode::own_meta(revision, out);
        if let Self::Invoke {
            name,
            event,
            phase,
            payload,
            wait_ms,
        } = self
        {
            out.string("name", name);
            out.string("event", event);
            out.string("phase", phase);
            out.json("payload", payload);
            out.integer("timeoutMs", wait_ms);
        }
    }
}

impl Upstreams {
    /// Asks a server of interceptors.
    ///
    /// # Errors
    /// When it cannot be reached or does not answer.
    pub async fn aside(&self, server: &ServerName, question: Aside<'_>) -> Result<Response, LinkError> {
        let link = self.own_link(server).await?;
        let body = |id| {
            object(|out| {
                out.string("jsonrpc", "2.0");
                Id::Integer(id).write("id", out);
                out.string("method", question.method());
                out.object("params", |out| question.write(link.revision, out));
            })
        };
        link.ask(Head::of(question.method()), body, Side::default()).await
    }
}
