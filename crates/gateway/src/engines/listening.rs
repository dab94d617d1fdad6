//! `subscriptions/listen` (modern era): one stream on which a client hears of lists, resources and tasks that changed.
//!
//! Each resource and each task it names takes the road as a message of its own, decided and recorded like a client's.
//! Tasks are asked for again and again on the road, whatever their server could say by itself: what is told of one is
//! what `tasks/get` would have given its owner then.

use std::{borrow::Cow, sync::Arc, time::Duration};

use pipeline::{Answer, Arrival, Body, Objection, Passed, Reply, Via, forward::Recorded, ports::Exchange};
use tokio::time::Instant;
use wire::{
    bounds::{ANSWER, REQUEST},
    json::{Document, Edits, Keys, Node, Number, ObjectWriter, canonical, object},
    jsonrpc::{self, Id, Message},
    mcp::{Direction, Method, meta, shape},
};

use super::{
    Engines,
    halting::scope,
    local::{Listener, own},
};
use crate::conversations::{exchange::ListenExchange, lists::Changed};

/// Most resources, and most tasks, one stream subscribes to.
const WATCHES_MAX: usize = 64;
const TASKS_MAX: usize = 16;
/// How often a task is asked for: as its server says, within these bounds.
const POLL_MS: u64 = 2_000;
const POLL_MS_MIN: u64 = 1_000;
const POLL_MS_MAX: u64 = 60_000;
/// How often in a row asking for one may be in vain before it is given up.
const MISSES_MAX: u32 = 5;

/// A task a stream hears of.
struct Followed {
    id: String,
    /// As its owner was told last.
    told: Document,
    /// When it is asked for next, and how often that was in vain.
    due: Instant,
    missed: u32,
}

impl Engines {
    pub(super) async fn listen(&self, call: &Passed<Recorded>) -> Result<Answer, Objection> {
        let arrival = call.arrival();
        let Some(id) = arrival.message.id().cloned() else {
            return Ok(Answer::Accepted);
        };
        let asked = arrival
            .message
            .params()
            .and_then(|params| params.get("notifications"));
        let wants =
            |name: &str| asked.and_then(|asked| asked.get(name)).and_then(Node::as_bool) == Some(true);
        let wants = Changed {
            tools: wants("toolsListChanged"),
            prompts: wants("promptsListChanged"),
            resources: wants("resourcesListChanged"),
        };
        let stream = Arc::clone(&arrival.exchange);
        let exchange = ListenExchange::new(stream, call.caller().clone(), arrival.call.clone(), id.clone());
        let exchange = Arc::new(exchange);
        let uris = asked.and_then(|asked| asked.get("resourceSubscriptions"));
        let watched = self.watch_all(call, uris, &exchange).await;
        let tasks = self.tasks_now(call, &exchange).await;
        let honoured = acknowledgement(&wants, &watched, &tasks, &id);
        // Before the client knows: no change from then on is missed, and none comes before the acknowledgement.
        let key = self.listeners.add(Listener {
            exchange: Arc::clone(&exchange) as Arc<dyn Exchange>,
            at: arrival.endpoint.clone(),
            tls: arrival.via.tls.clone(),
            id: id.clone(),
            wants,
        });
        exchange.open(honoured).await;
        // The stream stays open until the client closes it or its credential ends.
        let left_ms = call
            .principal()
            .expires_ms()
            .saturating_sub(arrival.received_ms)
            .clamp(0, 24 * 3600 * 1000);
        let left = std::time::Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
        tokio::select! {
            () = exchange.withdrawn() => {}
            () = self.follow(call, tasks, &exchange) => {}
            () = tokio::time::sleep(left) => {}
            () = self.revoked(call.principal()) => {}
            // It ends as one that the client closed does, with all that hangs on it.
            _ = self.halts.reached(scope(call)) => {}
        }
        self.listeners.remove(key);
        if uris.is_some() {
            self.upstreams.end_watches(&arrival.call.0);
        }
        Ok(own(object(|out| {
            out.object("_meta", |out| id.write(meta::SUBSCRIPTION_ID, out))
        })))
    }

    /// Subscribes a stream to resources; gives those to which it is.
    async fn watch_all<'c>(
        &self,
        call: &'c Passed<Recorded>,
        uris: Option<Node<'c>>,
        exchange: &Arc<ListenExchange>,
    ) -> Vec<Cow<'c, str>> {
        let mut watched = Vec::new();
        let uris = uris.into_iter().flat_map(Node::elements).filter_map(Node::as_str);
        for uri in uris.take(WATCHES_MAX) {
            match self.subscribe(call, &uri, Arc::clone(exchange)).await {
                Ok(()) => watched.push(uri),
                // It may have been refused when the server had agreed already.
                Err(()) => self.upstreams.end_watch(&call.arrival().call.0, &uri),
            }
        }
        watched
    }

    /// Subscribes a stream to a resource: for each, a message of its own takes the road, and is decided and
    /// recorded like a client's.
    async fn subscribe(
        &self,
        call: &Passed<Recorded>,
        uri: &str,
        exchange: Arc<ListenExchange>,
    ) -> Result<(), ()> {
        let params = |out: &mut ObjectWriter<'_>| out.string("uri", uri);
        match self
            .carry_for(call, Method::ResourcesSubscribe, params, exchange)
            .await
        {
            Some(reply) => match reply.body {
                Body::Foreign(response, ..) => match response.answer() {
                    jsonrpc::Answer::Error(_) => Err(()),
                    jsonrpc::Answer::Result(_) => Ok(()),
                },
                Body::Accepted | Body::Listed(_) | Body::Own(_) => Ok(()),
            },
            None => Err(()),
        }
    }

    /// A message of the client's own takes the road on behalf of its stream. None where it is refused.
    async fn carry_for(
        &self,
        call: &Passed<Recorded>,
        method: Method,
        params: impl FnOnce(&mut ObjectWriter<'_>),
        exchange: Arc<ListenExchange>,
    ) -> Option<Reply> {
        let arrival = call.arrival();
        let text = jsonrpc::request(&Id::Integer(0), method, |out| {
            params(out);
            if let Some(meta) = arrival.message.params().and_then(meta::of) {
                out.node("_meta", meta);
            }
        });
        let message = Message::parse(text, Keys::Folded, &REQUEST).ok()?;
        let one = Arrival {
            call: self.ambient.call(),
            direction: Direction::ToServer,
            revision: arrival.revision,
            endpoint: arrival.endpoint.clone(),
            message,
            credential: arrival.credential.clone().standing(&call.caller().principal),
            via: Via {
                mirrored: Arc::default(),
                ..arrival.via.clone()
            },
            session: None,
            capabilities: arrival.capabilities.clone(),
            exchange,
            received_ms: self.ambient.now_ms(),
        };
        self.behind.carry(one).await?.ok()
    }

    /// The tasks a stream asks to hear of, as they are now: those its client may ask for.
    async fn tasks_now(&self, call: &Passed<Recorded>, exchange: &Arc<ListenExchange>) -> Vec<Followed> {
        let params = call.arrival().message.params();
        let asked = params.and_then(|params| params.get("notifications"));
        let ids = asked.and_then(|asked| asked.get("taskIds"));
        let ids = ids.into_iter().flat_map(Node::elements).filter_map(Node::as_str);
        let mut tasks = Vec::new();
        for id in ids.take(TASKS_MAX) {
            if let Some(told) = self.task_now(call, &id, exchange).await {
                tasks.push(Followed {
                    id: id.into_owned(),
                    due: next(&told),
                    told,
                    missed: 0,
                });
            }
        }
        tasks
    }

    /// A task as its client would get it now.
    async fn task_now(
        &self,
        call: &Passed<Recorded>,
        id: &str,
        exchange: &Arc<ListenExchange>,
    ) -> Option<Document> {
        let params = |out: &mut ObjectWriter<'_>| out.string("taskId", id);
        let exchange = Arc::clone(exchange);
        let reply = self.carry_for(call, Method::TasksGet, params, exchange).await?;
        let Body::Foreign(response, edits, era) = reply.body else {
            return None;
        };
        let jsonrpc::Answer::Result(result) = response.answer() else {
            return None;
        };
        let shaped = shape::result(result, &edits, era, call.arrival().revision, Method::TasksGet);
        Document::parse(shaped, Keys::Exact, &ANSWER).ok()
    }

    /// Tells a stream of its tasks whenever one has changed, until it has ended or may not be asked for any more.
    /// Never resolves: a stream stays open without tasks, too.
    async fn follow(
        &self,
        call: &Passed<Recorded>,
        mut tasks: Vec<Followed>,
        exchange: &Arc<ListenExchange>,
    ) {
        let listen = call.arrival().message.id();
        for task in tasks.iter().filter(|task| has_ended(&task.told)) {
            exchange.deliver(notice(&task.told, listen)).await;
        }
        loop {
            tasks.retain(|task| !has_ended(&task.told) && task.missed < MISSES_MAX);
            let Some(due) = tasks.iter().map(|task| task.due).min() else {
                return std::future::pending().await;
            };
            tokio::time::sleep_until(due).await;
            for task in tasks.iter_mut().filter(|task| task.due <= Instant::now()) {
                match self.task_now(call, &task.id, exchange).await {
                    Some(now) => {
                        if is_news(&task.told, &now) {
                            exchange.deliver(notice(&now, listen)).await;
                        }
                        (task.told, task.missed) = (now, 0);
                    }
                    // It may pass: a limit, a server that starts anew.
                    None => task.missed += 1,
                }
                task.due = next(&task.told);
            }
        }
    }
}

/// When a task is asked for again.
fn next(task: &Document) -> Instant {
    Instant::now() + Duration::from_millis(poll_ms(task))
}

fn has_ended(task: &Document) -> bool {
    let status = task.root().get("status").and_then(Node::as_str);
    status.is_none_or(|status| matches!(&*status, "cancelled" | "completed" | "failed"))
}

fn poll_ms(task: &Document) -> u64 {
    let said = task.root().get("pollIntervalMs").and_then(Node::as_number);
    let said = said.and_then(Number::as_u64);
    said.unwrap_or(POLL_MS).clamp(POLL_MS_MIN, POLL_MS_MAX)
}

/// Whether its owner has something to learn: another status, other words about it, other questions.
fn is_news(before: &Document, now: &Document) -> bool {
    ["inputRequests", "status", "statusMessage"]
        .into_iter()
        .any(|name| {
            let said = |task: &Document| task.root().get(name).map(|node| canonical(node));
            said(before) != said(now)
        })
}

/// `notifications/tasks`: the task whole, as `tasks/get` gives it (ext-tasks).
fn notice(task: &Document, listen: Option<&Id>) -> Vec<u8> {
    jsonrpc::notification(Method::NotificationsTasks, |out| {
        out.members_except(task.root(), &["_meta", "resultType"], &Edits::default());
        if let Some(id) = listen {
            out.object("_meta", |out| id.write(meta::SUBSCRIPTION_ID, out));
        }
    })
}

/// What is heard of on a stream of subscriptions.
fn acknowledgement(wants: &Changed, watched: &[Cow<'_, str>], tasks: &[Followed], id: &Id) -> Vec<u8> {
    jsonrpc::notification(Method::NotificationsSubscriptionsAcknowledged, |out| {
        out.object("notifications", |out| {
            for (name, wanted) in [
                ("toolsListChanged", wants.tools),
                ("promptsListChanged", wants.prompts),
                ("resourcesListChanged", wants.resources),
            ] {
                if wanted {
                    out.boolean(name, true);
                }
            }
            if !watched.is_empty() {
                out.array("resourceSubscriptions", |list| {
                    watched.iter().for_each(|uri| list.string(uri));
                });
            }
            if !tasks.is_empty() {
                out.array("taskIds", |list| {
                    tasks.iter().for_each(|task| list.string(&task.id))
                });
            }
        });
        out.object("_meta", |out| id.write(meta::SUBSCRIPTION_ID, out));
    })
}
