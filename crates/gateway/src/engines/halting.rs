//! The kill switch, where calls meet it: before they go on, and while they are on their way.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use identity::Principal;
use pipeline::{
    Answer, CallId, Objection, Passed,
    decide::Approved,
    forward::Recorded,
    ports::{self, Asks, Boxed, Caller, Exchange, Halts as _},
};
use wire::{jsonrpc::Id, mcp::ServerName};

use super::Engines;
use crate::operate::halts::{Halts, Scope};

/// How long a call that is stopped may take to tell its server so.
const LAST_WORD: Duration = Duration::from_millis(250);

/// Whom and what a call concerns.
pub(super) fn scope(call: &Passed<Approved>) -> Scope<'_> {
    Scope {
        principal: call.principal(),
        context: Some(call.context().id()),
        server: call.resolution().server_name(),
    }
}

impl ports::Halts for Engines {
    fn heed(&self, call: &Passed<Approved>) -> Result<(), Objection> {
        let halt = self.halts.of(scope(call));
        halt.map_or(Ok(()), |halt| Err(halt.objection()))
    }
}

impl Engines {
    /// Whether somebody may go on.
    pub(super) fn may_go_on(
        &self,
        principal: &Principal,
        context: Option<&str>,
        server: Option<&ServerName>,
    ) -> Result<(), Objection> {
        let halt = self.halts.of(Scope {
            principal,
            context,
            server,
        });
        halt.map_or(Ok(()), |halt| Err(halt.objection()))
    }

    /// Does it, and gives it up at the moment it is stopped.
    pub(super) async fn unless_halted(
        &self,
        call: &Passed<Recorded>,
        work: impl Future<Output = Result<Answer, Objection>> + Send,
    ) -> Result<Answer, Objection> {
        // Before anything is sent.
        self.heed(call)?;
        let mut work = pin!(work);
        let halt = tokio::select! {
            biased;
            halt = self.halts.reached(scope(call)) => halt,
            done = &mut work => {
                // Of those that wait for the same, the exchange may be woken first.
                self.heed(call)?;
                return done;
            }
        };
        // Its exchange is withdrawn at the same moment; whatever answer comes now, nobody gets it.
        let _ = tokio::time::timeout(LAST_WORD, work).await;
        Err(halt.objection())
    }

    /// An exchange that is withdrawn when its call is stopped, so that the server is told to leave off.
    pub(super) fn heeding(&self, call: &Passed<Recorded>, exchange: Arc<dyn Exchange>) -> Arc<dyn Exchange> {
        Arc::new(Heeding {
            inner: exchange,
            halts: self.halts.clone(),
            caller: call.caller().clone(),
            context: call.context().id().to_owned(),
            server: call.resolution().server_name().cloned(),
        })
    }
}

/// See [`Engines::heeding`].
#[derive(Debug)]
struct Heeding {
    inner: Arc<dyn Exchange>,
    halts: Halts,
    caller: Caller,
    context: String,
    server: Option<ServerName>,
}

impl Exchange for Heeding {
    fn admitted(&self, caller: &Caller) {
        self.inner.admitted(caller);
    }

    fn caller(&self) -> Option<Caller> {
        self.inner.caller()
    }

    fn session(&self) -> Option<Arc<str>> {
        self.inner.session()
    }

    fn deliver(&self, message: Vec<u8>) -> Boxed<'_, ()> {
        self.inner.deliver(message)
    }

    fn withdrawn(&self) -> Boxed<'_, ()> {
        Box::pin(async {
            let scope = Scope {
                principal: &self.caller.principal,
                context: Some(&self.context),
                server: self.server.as_ref(),
            };
            tokio::select! {
                () = self.inner.withdrawn() => {}
                _ = self.halts.reached(scope) => {}
            }
        })
    }

    fn asks(&self) -> Option<&dyn Asks> {
        self.inner.asks()
    }

    fn subscription(&self) -> Option<(&CallId, &Id)> {
        self.inner.subscription()
    }

    fn let_go(&self) {
        self.inner.let_go();
    }
}
