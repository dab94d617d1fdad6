//! What arrives from a server: sorted into answers, which go to whoever waits, and the rest, which takes
//! the road.

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
    time::Duration,
};

use pipeline::ports::{Caller, Exchange};
use wire::{
    bounds::ANSWER,
    json::{Keys, Node, ObjectWriter},
    jsonrpc::{self, Id, Message, Notification, Refused, Request},
    mcp::{Direction, Method, Revision, ServerName, code, meta},
};
use zeroize::Zeroizing;

use crate::{
    Backchannel, Incoming, LinkError, Noise,
    pending::{Pending, Progress},
    watch::{self, Watches},
};

/// How often a question that waits for the client keeps the calls of its link from running out of time.
const HOLD_ON: Duration = Duration::from_secs(10);

/// Sends bytes to the server: the answers to its requests.
pub(crate) type Answerer = Arc<dyn Fn(Vec<u8>) + Send + Sync>;

/// One link's inbox.
pub(crate) struct Inbox {
    pub(crate) server: ServerName,
    /// The principal the link serves; none on the gateway's own.
    pub(crate) owner: Option<Arc<str>>,
    /// The client's session it serves alone, if it does.
    pub(crate) session: Option<Arc<str>>,
    pub(crate) pending: Pending,
    pub(crate) watches: Watches,
    revision: OnceLock<Revision>,
    answerer: OnceLock<Answerer>,
    backchannel: Arc<dyn Backchannel>,
}

impl Inbox {
    pub(crate) fn new(
        server: ServerName,
        (owner, session): (Option<Arc<str>>, Option<Arc<str>>),
        backchannel: Arc<dyn Backchannel>,
    ) -> Self {
        Self {
            server,
            owner,
            session,
            pending: Pending::default(),
            watches: Watches::default(),
            revision: OnceLock::new(),
            answerer: OnceLock::new(),
            backchannel,
        }
    }

    /// Whether the server's process may be started.
    pub(crate) fn before_start(&self) -> Result<(), String> {
        self.backchannel.before_start(&self.server)
    }

    /// How to answer the server's own requests.
    pub(crate) fn answer_with(&self, answerer: Answerer) {
        let _ = self.answerer.set(answerer);
    }

    /// The revision agreed on; set once, by the handshake.
    pub(crate) fn agree(&self, revision: Revision) {
        let _ = self.revision.set(revision);
    }

    /// Takes one message. Notifications are passed on before the next message is taken, so that progress
    /// never comes after the answer it belongs to; requests wait for people, so nobody waits for them.
    ///
    /// `exchange` is the client's side of the call on whose own stream the message came, if it came on one.
    /// In the one revision that has batches, each message of one is taken as if it had come alone.
    pub(crate) async fn take(self: &Arc<Self>, bytes: Vec<u8>, exchange: Option<&Arc<dyn Exchange>>) {
        if jsonrpc::is_array(&bytes) && self.revision().has_batches() {
            match jsonrpc::batch(bytes, Keys::Exact, &ANSWER) {
                Err(refused) => self.unreadable(&refused),
                Ok(elements) => {
                    for element in elements {
                        self.take_one(element, exchange).await;
                    }
                }
            }
            return;
        }
        self.take_one(Message::parse(bytes, Keys::Exact, &ANSWER), exchange)
            .await;
    }

    async fn take_one(
        self: &Arc<Self>,
        message: Result<Message, Refused>,
        exchange: Option<&Arc<dyn Exchange>>,
    ) {
        match message {
            Err(refused) => self.unreadable(&refused),
            Ok(Message::Response(response)) => {
                if let Err(response) = self.pending.settle(response) {
                    let id = response
                        .id()
                        .map_or_else(|| "none".to_owned(), ToString::to_string);
                    self.noise(format!("an answer to nothing we asked (id {id})"));
                }
            }
            Ok(Message::Notification(notification)) => self.notified(notification, exchange).await,
            Ok(Message::Request(request)) => self.asked(request, exchange),
        }
    }

    /// Says that something came that is no message. Who asks by it is told so, and does not wait.
    fn unreadable(&self, refused: &Refused) {
        let why = refused.error.to_string();
        self.noise(why.clone());
        match &refused.id {
            Some(id) if refused.asks => {
                self.answer(jsonrpc::error(Some(id), refused.error.code(), &why, None));
            }
            // An answer that cannot be read still ends the call it names, as garbled and not as a timeout.
            Some(Id::Integer(id)) => self.pending.abort(*id, LinkError::Garbled(why)),
            Some(Id::String(_)) | None => {}
        }
    }

    async fn notified(&self, notification: Notification, exchange: Option<&Arc<dyn Exchange>>) {
        let method = notification.method();
        if !method.exists(self.revision(), Direction::ToClient) {
            return self.noise(format!("`{method}` is not a server's to send"));
        }
        if matches!(
            method,
            Method::NotificationsPromptsListChanged
                | Method::NotificationsResourcesListChanged
                | Method::NotificationsToolsListChanged
        ) {
            return self.backchannel.changed(&self.server);
        }
        if method == Method::NotificationsSubscriptionsAcknowledged {
            let again = self.watches.acknowledged(&notification);
            return self.may_have_changed(again).await;
        }
        if method == Method::NotificationsResourcesUpdated {
            return self.updated(&notification).await;
        }
        let (message, exchange) = if method == Method::NotificationsProgress {
            match self.retoken(&notification) {
                Some((message, exchange)) => (message, Some(exchange)),
                None => return self.noise("progress of nothing that runs".to_owned()),
            }
        } else {
            let exchange = exchange.cloned().or_else(|| self.belongs(notification.params()));
            (Message::Notification(notification), exchange)
        };
        self.backchannel.incoming(self.incoming(message, exchange)).await;
    }

    /// A resource changed: each who watches it is told on the road.
    async fn updated(&self, notification: &Notification) {
        let uri = notification.params().and_then(|params| params.get("uri"));
        let watching = uri
            .and_then(Node::as_str)
            .map(|uri| self.watches.of(&uri))
            .unwrap_or_default();
        if watching.is_empty() {
            self.noise("a change of a resource nobody watches".to_owned());
        }
        for exchange in watching {
            if let Some(message) = watch::copy(notification) {
                self.backchannel
                    .incoming(self.incoming(message, Some(exchange)))
                    .await;
            }
        }
    }

    /// Tells watchers of these resources that they may have changed: nobody heard of them for a while.
    pub(crate) async fn may_have_changed(&self, uris: BTreeSet<String>) {
        for uri in uris {
            let params = |params: &mut ObjectWriter<'_>| params.string("uri", &uri);
            let text = jsonrpc::notification(Method::NotificationsResourcesUpdated, params);
            if let Ok(Message::Notification(changed)) = Message::parse(text, Keys::Exact, &ANSWER) {
                self.updated(&changed).await;
            }
        }
    }

    fn asked(self: &Arc<Self>, request: Request, exchange: Option<&Arc<dyn Exchange>>) {
        let (id, method) = (request.id().clone(), request.method());
        if method == Method::Ping {
            return self.answer(jsonrpc::result(&id, b"{}"));
        }
        if !method.exists(self.revision(), Direction::ToClient) {
            self.noise(format!("`{method}` is not a server's to send"));
            let text = "no such method in this direction and revision";
            return self.answer(jsonrpc::error(Some(&id), code::METHOD_NOT_FOUND, text, None));
        }
        let exchange = exchange.cloned().or_else(|| self.belongs(request.params()));
        let incoming = self.incoming(Message::Request(request), exchange);
        let inbox = Arc::clone(self);
        tokio::spawn(async move {
            let answering = inbox.backchannel.incoming(incoming);
            tokio::pin!(answering);
            let answer = loop {
                tokio::select! {
                    answer = &mut answering => break answer,
                    () = tokio::time::sleep(HOLD_ON) => inbox.pending.hold_on(),
                }
            };
            if let Some(said) = answer {
                inbox.answer(said.text);
            }
        });
    }

    /// The client's side of what a message belongs to: of the task it names and of no other, or of the one call that
    /// waits.
    fn belongs(&self, params: Option<Node<'_>>) -> Option<Arc<dyn Exchange>> {
        let related = params
            .and_then(meta::of)
            .and_then(|meta| meta.get(meta::RELATED_TASK));
        match related.and_then(|task| task.get("taskId")).and_then(Node::as_str) {
            Some(task) => self.pending.of_task(&task),
            None => self.pending.only(),
        }
    }

    fn incoming(&self, message: Message, exchange: Option<Arc<dyn Exchange>>) -> Incoming {
        Incoming {
            server: self.server.clone(),
            revision: self.revision(),
            message,
            exchange,
            owner: self.owner.clone(),
            session: self.session.clone(),
        }
    }

    /// Gives a progress notification the token the client chose.
    fn retoken(&self, notification: &Notification) -> Option<(Message, Arc<dyn Exchange>)> {
        let params = notification.params()?;
        let token = params
            .get(meta::PROGRESS_TOKEN)
            .and_then(Node::as_number)?
            .as_i64()?;
        let Progress { token, exchange } = self.pending.progress(token)?;
        let text = jsonrpc::notification(notification.method(), |out| {
            out.json(meta::PROGRESS_TOKEN, &token);
            out.members_except(params, &[meta::PROGRESS_TOKEN], &wire::json::Edits::default());
        });
        let message = Message::parse(text, Keys::Exact, &ANSWER).ok()?;
        Some((message, exchange))
    }

    fn answer(&self, bytes: Vec<u8>) {
        if let Some(answerer) = self.answerer.get() {
            answerer(bytes);
        }
    }

    fn revision(&self) -> Revision {
        self.revision.get().copied().unwrap_or(Revision::LATEST_LEGACY)
    }

    pub(crate) fn open_egress(&self) -> Result<(), String> {
        self.backchannel.open_egress(&self.server)
    }

    pub(crate) fn secrets(
        &self,
        caller: Option<&Caller>,
        wanted: &[(String, String)],
    ) -> Result<Vec<(String, Zeroizing<String>)>, String> {
        match wanted {
            [] => Ok(Vec::new()),
            wanted => self.backchannel.secrets(&self.server, caller, wanted),
        }
    }

    pub(crate) fn crashed(&self, how: &str) {
        self.backchannel.crashed(&self.server, self.owner.as_deref(), how);
    }

    /// Why no process is started for its owner now.
    pub(crate) fn crashing(&self) -> Option<String> {
        self.backchannel.crashing(&self.server, self.owner.as_deref()?)
    }

    pub(crate) fn noise(&self, what: String) {
        let what = what.chars().take(200).collect();
        self.backchannel.noise(Noise {
            server: self.server.clone(),
            what,
        });
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inbox({}, {} waiting)", self.server, self.pending.len())
    }
}
