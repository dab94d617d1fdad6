//! One connection to one server: a process with its pipes, or an HTTP endpoint with its session.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use pipeline::{
    Dossier, Tls,
    ports::{Exchange, Nobody},
};
use tokio::time::Instant;
use wire::{
    jsonrpc::Response,
    mcp::{Era, Method, Revision},
};

use crate::{
    LinkError, ServerSpec, Timeouts, encode,
    group::Group,
    http::Endpoint,
    inbox::Inbox,
    listing::{Items, List, Offered},
    rest::Service,
    stdio::Pipe,
};

/// How often progress may begin the wait anew.
const PROGRESS_TIMES_MAX: u32 = 10;

/// What a request says besides its body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    /// The method's name (mirrored in a header by the modern era).
    pub(crate) method: &'static str,
    /// The name or URI mirrored in a header by the modern era.
    pub(crate) name: Option<String>,
    /// Headers that mirror arguments (modern era).
    pub(crate) params: Vec<(String, String)>,
    /// Where it is noted over which connection the answer came, if it is a call's.
    pub(crate) dossier: Option<Arc<Dossier>>,
}

impl Head {
    /// Of a message that names nothing.
    pub(crate) fn of(method: &'static str) -> Self {
        Self {
            method,
            ..Self::default()
        }
    }

    /// The same, of a call.
    pub(crate) fn of_call(mut self, dossier: Option<&Arc<Dossier>>) -> Self {
        self.dossier = dossier.map(Arc::clone);
        self
    }

    /// The answer came over this connection.
    pub(crate) fn came_over(&self, tls: Option<&Tls>) {
        if let (Some(dossier), Some(tls)) = (&self.dossier, tls) {
            dossier.note(|known| known.upstream_tls = Some(tls.clone()));
        }
    }
}

/// The client's side of a call, for the link that carries it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Side {
    /// Where messages that belong to the call go.
    pub(crate) exchange: Option<Arc<dyn Exchange>>,
    /// The client's progress token, as JSON.
    pub(crate) token: Option<Arc<[u8]>>,
}

#[derive(Debug)]
pub(crate) enum Wire {
    Http(Arc<Endpoint>),
    Pipe(Pipe),
    Rest(Arc<Service>),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) wire: Wire,
    pub(crate) revision: Revision,
    pub(crate) offered: Offered,
    /// What a client may declare besides what the gateway can read.
    pub(crate) extensions: BTreeSet<String>,
    timeouts: Timeouts,
    tools: Group<Items>,
    prompts: Group<Items>,
    used: Mutex<Instant>,
}

impl Link {
    pub(crate) fn new(inbox: Arc<Inbox>, wire: Wire, offered: Offered, spec: &ServerSpec) -> Self {
        Self {
            inbox,
            wire,
            revision: offered.revision,
            offered,
            extensions: spec.extensions.clone(),
            timeouts: spec.timeouts,
            tools: Group::default(),
            prompts: Group::default(),
            used: Mutex::new(Instant::now()),
        }
    }

    /// Why the link is of no use any more, if it is not.
    pub(crate) fn closed(&self) -> Option<String> {
        match &self.wire {
            Wire::Http(endpoint) => endpoint.closed(),
            Wire::Pipe(pipe) => pipe.closed(),
            Wire::Rest(service) => service.closed(),
        }
    }

    /// How long nothing was asked over it; nothing while something is, or is watched.
    pub(crate) fn idle(&self) -> Option<Duration> {
        let used = *self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let quiet = self.inbox.pending.len() == 0 && self.inbox.watches.is_empty();
        quiet.then(|| used.elapsed())
    }

    /// How long it may take until something stands.
    pub(crate) fn start_timeout(&self) -> Duration {
        self.timeouts.start
    }

    /// The longest that a call may take, however often it says that it goes on.
    pub(crate) fn longest_call(&self) -> Duration {
        self.timeouts.call * PROGRESS_TIMES_MAX
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn ask(
        &self,
        head: Head,
        body: impl FnOnce(i64) -> Vec<u8>,
        side: Side,
    ) -> Result<Response, LinkError> {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let asking = Asking {
            wire: &self.wire,
            inbox: &self.inbox,
            era: self.revision.era(),
            wait: self.timeouts.call,
        };
        asking.ask(head, body, side).await
    }

    /// Sends a notification.
    pub(crate) async fn tell(&self, head: Head, body: Vec<u8>) -> Result<(), LinkError> {
        match &self.wire {
            Wire::Http(endpoint) => endpoint.post(&self.inbox, head, body, None).await.map(drop),
            Wire::Pipe(pipe) => {
                head.came_over(pipe.tls());
                pipe.send(body).await
            }
            Wire::Rest(service) => service.take(&self.inbox, &head, body, None).await,
        }
    }

    /// What the server lists now, seen after this call began.
    pub(crate) async fn items(&self, list: List) -> Result<Arc<Items>, LinkError> {
        let group = match list {
            List::Prompts => &self.prompts,
            List::Tools => &self.tools,
        };
        group
            .now(|before| Box::pin(Items::fetch(self, list, before)))
            .await
    }

    /// Closes the connection; waiting calls end with an error.
    pub(crate) fn close(&self, why: &str) {
        match &self.wire {
            Wire::Http(endpoint) => endpoint.close(why),
            Wire::Pipe(pipe) => pipe.close(why),
            Wire::Rest(service) => service.close(why),
        }
        self.inbox.watches.end();
        self.inbox.pending.fail(&LinkError::Closed(why.to_owned()));
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.close("no longer needed");
    }
}

/// A request on its way: used by links, and by the handshake before there is a link.
pub(crate) struct Asking<'l> {
    pub(crate) wire: &'l Wire,
    pub(crate) inbox: &'l Arc<Inbox>,
    pub(crate) era: Era,
    pub(crate) wait: Duration,
}

impl Asking<'_> {
    pub(crate) async fn ask(
        self,
        head: Head,
        body: impl FnOnce(i64) -> Vec<u8>,
        side: Side,
    ) -> Result<Response, LinkError> {
        let mut wait = self.inbox.pending.open(side.token, side.exchange.clone());
        if head.method == Method::TasksResult.name()
            && let Some(task) = &head.name
        {
            self.inbox.pending.is_for(wait.id, task);
        }
        // Whatever ends the wait, the id is given up with it.
        let _forget = Forget {
            inbox: self.inbox,
            id: wait.id,
        };
        let exchange: Arc<dyn Exchange> = side.exchange.unwrap_or_else(|| Arc::new(Nobody));
        let body = body(wait.id);
        let id = wait.id;
        let doubtful = matches!(self.wire, Wire::Rest(service) if service.may_have_changed(&head));
        let sending = async {
            match self.wire {
                Wire::Http(endpoint) => {
                    let mut ended = endpoint.post(self.inbox, head, body, Some(&exchange)).await?;
                    // A server may close the stream and have us come back for the answer.
                    while self.era == Era::Legacy && self.inbox.pending.waits(id) && ended.can_be_resumed() {
                        exchange.let_go();
                        ended = endpoint.resume(self.inbox, ended, Some(&exchange)).await?;
                    }
                    Ok(())
                }
                Wire::Pipe(pipe) => {
                    head.came_over(pipe.tls());
                    pipe.send(body).await
                }
                Wire::Rest(service) => service.take(self.inbox, &head, body, Some(&exchange)).await,
            }
        };
        tokio::pin!(sending);
        let mut sent = false;
        let began = Instant::now();
        let mut until = began + self.wait;
        loop {
            tokio::select! {
                biased;
                answer = &mut wait.answer => {
                    return answer.unwrap_or_else(|_| Err(LinkError::Closed("the link was closed".into())));
                }
                result = &mut sending, if !sent => {
                    sent = true;
                    result?;
                    if let Wire::Http(_) | Wire::Rest(_) = self.wire {
                        // The end of the stream is the end of the answer: it is here, or there is none.
                        let none = || LinkError::Garbled("the stream ended without an answer".into());
                        return wait.answer.try_recv().unwrap_or_else(|_| Err(none()));
                    }
                }
                () = wait.progress.notified() => {
                    until = (Instant::now() + self.wait).min(began + self.wait * PROGRESS_TIMES_MAX);
                }
                () = exchange.withdrawn() => {
                    self.withdraw(wait.id).await;
                    return Err(LinkError::Withdrawn);
                }
                () = tokio::time::sleep_until(until) => {
                    self.withdraw(wait.id).await;
                    let late = LinkError::Timeout(until - began);
                    return Err(if doubtful { LinkError::Doubtful(late.to_string()) } else { late });
                }
            }
        }
    }

    /// Tells the server that nobody waits any more. In the modern era over HTTP, dropping the stream says it.
    async fn withdraw(&self, id: i64) {
        let body = encode::cancelled(id);
        // In a box: it is rare, and would make every call's future as large as its own.
        let told = Box::pin(async {
            match self.wire {
                Wire::Http(_) if self.era == Era::Modern => Ok(()),
                Wire::Http(endpoint) => {
                    let head = Head::of("notifications/cancelled");
                    endpoint.post(self.inbox, head, body, None).await.map(drop)
                }
                Wire::Pipe(pipe) => pipe.send(body).await,
                // Whoever does not wait any more lets go of its connection.
                Wire::Rest(_) => Ok(()),
            }
        });
        // A server that does not even take this has a second; the caller has left already.
        let _ = tokio::time::timeout(Duration::from_secs(1), told).await;
    }
}

struct Forget<'l> {
    inbox: &'l Inbox,
    id: i64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.inbox.pending.forget(self.id);
    }
}
