//! Resources that are watched over a link: what a server says of one goes to those who asked, and to nobody
//! else.
//!
//! Servers of sessions are told of each resource by a request of its own, when the first asks and when the
//! last has gone. Servers of the modern era have one open `subscriptions/listen` for all of a link's.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use pipeline::{Answer, Dossier, Objection, Own, Passed, forward::Recorded, ports::Exchange, refusal};
use tokio::{
    sync::{Mutex as AsyncMutex, oneshot},
    task::JoinHandle,
};
use wire::{
    bounds::REQUEST,
    json::{Document, Keys, Node, object},
    jsonrpc::{self, Id, Message, Notification, Response},
    mcp::{Era, Method, meta},
};

use crate::{
    LinkError, encode,
    link::{Head, Link, Side, Wire},
};

/// Most resources one watcher watches over one link.
const WATCHES_MAX: usize = 256;

/// Who watches.
#[derive(Clone, Debug)]
pub struct Watcher {
    /// Its name: a session's, or that of the call that opened a stream of subscriptions.
    pub name: Arc<str>,
    /// Where it hears of changes.
    pub exchange: Arc<dyn Exchange>,
}

/// What is watched over one link.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    by_uri: Mutex<BTreeMap<String, Vec<Watcher>>>,
    /// Held while the server is told: of two changes at once, neither undoes the other.
    changing: AsyncMutex<()>,
    /// Streams that are not acknowledged yet, by the id of their request.
    opening: Mutex<HashMap<i64, oneshot::Sender<BTreeSet<String>>>>,
    /// The stream that is open (modern era).
    stream: Mutex<Option<Stream>>,
    /// The server does not know yet of what is watched: it was, over a link that broke.
    untold: AtomicBool,
}

/// An open `subscriptions/listen`.
#[derive(Debug)]
enum Stream {
    /// Read by this task.
    Http(JoinHandle<()>),
    /// Of this id, on the pipe.
    Pipe(i64),
}

impl Drop for Watches {
    fn drop(&mut self) {
        self.end();
    }
}

impl Watches {
    /// Those to whom a change is to be told. Servers may speak of a part of what is watched.
    pub(crate) fn of(&self, changed: &str) -> Vec<Arc<dyn Exchange>> {
        let covers = |watched: &str| {
            let rest = changed.strip_prefix(watched);
            rest.is_some_and(|rest| {
                rest.is_empty() || watched.ends_with('/') || rest.starts_with(['/', '?', '#'])
            })
        };
        let by_uri = lock(&self.by_uri);
        let mut told = BTreeMap::new();
        for (_, watchers) in by_uri.iter().filter(|(uri, _)| covers(uri)) {
            for watcher in watchers {
                told.insert(Arc::clone(&watcher.name), Arc::clone(&watcher.exchange));
            }
        }
        told.into_values().collect()
    }

    /// A server says which resources it watches for a stream. Gives those of a stream that was cut off and opened
    /// again: what happened to them meanwhile nobody heard.
    pub(crate) fn acknowledged(&self, notification: &Notification) -> BTreeSet<String> {
        let params = notification.params();
        let id = params
            .and_then(meta::of)
            .and_then(|meta| meta.get(meta::SUBSCRIPTION_ID))
            .and_then(Id::read);
        let honoured = params.and_then(|params| params.get("notifications"));
        let uris = honoured.and_then(|honoured| honoured.get("resourceSubscriptions"));
        let uris = uris.into_iter().flat_map(Node::elements);
        let uris = uris.filter_map(|uri| Some(uri.as_str()?.into_owned()));
        let Some(Id::Integer(id)) = id else {
            return BTreeSet::new();
        };
        let waiting = lock(&self.opening).remove(&id);
        match waiting {
            None => uris.filter(|uri| lock(&self.by_uri).contains_key(uri)).collect(),
            Some(waiting) => {
                // Whoever waited may have given up a moment ago.
                let _ = waiting.send(uris.collect());
                BTreeSet::new()
            }
        }
    }

    /// The link is closed: nothing more is heard.
    pub(crate) fn end(&self) {
        if let Some(Stream::Http(stream)) = lock(&self.stream).take() {
            stream.abort();
        }
    }

    /// Takes over what was watched over a link that broke. The server is told by [`Link::watch_again`].
    pub(crate) fn take_over(&self, before: &Self) {
        let watched = std::mem::take(&mut *lock(&before.by_uri));
        self.untold.store(!watched.is_empty(), Ordering::Relaxed);
        lock(&self.by_uri).extend(watched);
    }

    /// Whether something is watched that the server does not know of yet.
    pub(crate) fn are_untold(&self) -> bool {
        self.untold.load(Ordering::Relaxed) && !self.is_empty()
    }

    /// Whether nothing is watched.
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.by_uri).is_empty()
    }

    fn uris(&self) -> BTreeSet<String> {
        lock(&self.by_uri).keys().cloned().collect()
    }

    fn count(&self, name: &str) -> usize {
        let by_uri = lock(&self.by_uri);
        let watchers = by_uri.values().flatten();
        watchers.filter(|watcher| *watcher.name == *name).count()
    }

    /// Adds a watcher; says whether it is the first of this resource.
    fn add(&self, uri: &str, watcher: Watcher) -> bool {
        let mut by_uri = lock(&self.by_uri);
        let watchers = by_uri.entry(uri.to_owned()).or_default();
        let first = watchers.is_empty();
        watchers.retain(|other| other.name != watcher.name);
        watchers.push(watcher);
        first
    }

    /// Gives up what the server watches no more: one, or all.
    pub(crate) fn forget(&self, uri: Option<&str>) {
        let mut by_uri = lock(&self.by_uri);
        match uri {
            Some(uri) => drop(by_uri.remove(uri)),
            None => by_uri.clear(),
        }
    }

    /// Takes a watcher from a resource; says whether it was the last.
    pub(crate) fn remove(&self, uri: &str, name: &str) -> bool {
        let mut by_uri = lock(&self.by_uri);
        let Some(watchers) = by_uri.get_mut(uri) else {
            return false;
        };
        watchers.retain(|watcher| *watcher.name != *name);
        let last = watchers.is_empty();
        if last {
            by_uri.remove(uri);
        }
        last
    }

    /// Takes a watcher from all resources; gives those that nobody watches any more.
    pub(crate) fn release(&self, name: &str) -> Vec<String> {
        let uris = self.uris();
        uris.into_iter().filter(|uri| self.remove(uri, name)).collect()
    }
}

impl Link {
    /// Carries out `resources/subscribe` or `resources/unsubscribe` for a watcher.
    pub(crate) async fn heed(
        &self,
        call: &Passed<Recorded>,
        method: Method,
        watcher: Watcher,
    ) -> Result<Answer, Objection> {
        let uri = sent_uri(call).ok_or_else(|| Objection::new(&refusal::PARAMS_INVALID, "no `uri`"))?;
        let watches = &self.inbox.watches;
        let _alone = watches.changing.lock().await;
        let name = Arc::clone(&watcher.name);
        let tell = self.tell_of(method, &uri, Some(call.dossier()));
        let answer = if method == Method::ResourcesUnsubscribe {
            if !watches.remove(&uri, &name) {
                return Ok(nothing());
            }
            tell.await
        } else {
            if watches.count(&name) >= WATCHES_MAX {
                let why = "too many resources are watched already";
                return Err(Objection::new(&refusal::OVER_LIMIT, why));
            }
            // Before the server knows: nothing it says from then on is missed.
            if !watches.add(&uri, watcher) {
                return Ok(nothing());
            }
            let answer = tell.await;
            let refused = match &answer {
                Ok(Some(response)) => matches!(response.answer(), jsonrpc::Answer::Error(_)),
                Ok(None) => false,
                Err(_) => true,
            };
            if refused {
                watches.remove(&uri, &name);
            }
            answer
        };
        let era = self.revision.era();
        Ok(answer?.map_or_else(nothing, |response| Answer::Foreign(Arc::new(response), era)))
    }

    /// The last watcher of these has gone: the server is told, unless somebody watches them again.
    pub(crate) async fn unwatch(&self, mut left: Vec<String>) {
        let watches = &self.inbox.watches;
        let _alone = watches.changing.lock().await;
        let watched = watches.uris();
        left.retain(|uri| !watched.contains(uri));
        let mut done = Ok(None);
        match self.revision.era() {
            Era::Modern if left.is_empty() => {}
            Era::Modern => done = self.listen_anew(None, None).await,
            Era::Legacy => {
                for uri in left {
                    done = self.tell_of(Method::ResourcesUnsubscribe, &uri, None).await;
                }
            }
        }
        if let Err(error) = done {
            self.inbox
                .noise(format!("it was not told that a watcher has gone: {error}"));
        }
    }

    /// Has the server watch what was watched before a link, or a stream, broke. What happened meanwhile nobody heard,
    /// so each watcher is told that what it watches may have changed. What the server refuses is given up.
    ///
    /// # Errors
    /// When the server cannot be told now; another time may do.
    pub(crate) async fn watch_again(&self) -> Result<(), LinkError> {
        let watches = &self.inbox.watches;
        let alone = watches.changing.lock().await;
        if !watches.are_untold() {
            return Ok(());
        }
        match self.revision.era() {
            Era::Modern => {
                if let Some(refused) = self.listen_anew(None, None).await? {
                    let why = LinkError::Garbled(format!("it refuses to watch: {:?}", refused.answer()));
                    return Err(why);
                }
            }
            Era::Legacy => {
                for uri in watches.uris() {
                    let told = self.tell_of(Method::ResourcesSubscribe, &uri, None).await?;
                    let refused = |told: Response| matches!(told.answer(), jsonrpc::Answer::Error(_));
                    if told.is_some_and(refused) {
                        watches.forget(Some(&uri));
                        self.inbox.noise(format!("it no longer watches `{uri}`"));
                    }
                }
            }
        }
        watches.untold.store(false, Ordering::Relaxed);
        // Whoever reads slowly holds nobody up.
        drop(alone);
        self.inbox.may_have_changed(watches.uris()).await;
        Ok(())
    }

    /// Tells the server what has changed in what is watched.
    async fn tell_of(
        &self,
        method: Method,
        uri: &str,
        dossier: Option<&Arc<Dossier>>,
    ) -> Result<Option<Response>, LinkError> {
        if self.revision.era() == Era::Legacy {
            let body = |id| jsonrpc::request(&Id::Integer(id), method, |params| params.string("uri", uri));
            let asked = self.ask(Head::of(method.name()).of_call(dossier), body, Side::default());
            return asked.await.map(Some);
        }
        let new = (method == Method::ResourcesSubscribe).then_some(uri);
        self.listen_anew(new, dossier).await
    }

    /// Has the server of the modern era watch exactly what is watched now: one stream takes the place of
    /// another once it is acknowledged, with the resource that is new if one is. Others may have ceased to be: their
    /// watchers hear nothing, as there is nothing to hear.
    async fn listen_anew(
        &self,
        new: Option<&str>,
        dossier: Option<&Arc<Dossier>>,
    ) -> Result<Option<Response>, LinkError> {
        let watches = &self.inbox.watches;
        let uris = watches.uris();
        if uris.is_empty() {
            self.listen_on(None).await?;
            return Ok(None);
        }
        let mut wait = self.inbox.pending.open(None, None);
        let (acknowledged, honoured) = oneshot::channel();
        lock(&watches.opening).insert(wait.id, acknowledged);
        let body = jsonrpc::request(&Id::Integer(wait.id), Method::SubscriptionsListen, |params| {
            params.object("notifications", |out| {
                out.array("resourceSubscriptions", |list| {
                    uris.iter().for_each(|uri| list.string(uri));
                });
            });
            encode::own_meta(self.revision, params);
        });
        let head = Head::of("subscriptions/listen").of_call(dossier);
        let stream = match &self.wire {
            Wire::Http(endpoint) => Stream::Http(endpoint.watch(Arc::clone(&self.inbox), head, body)),
            Wire::Pipe(pipe) => {
                head.came_over(pipe.tls());
                pipe.send(body).await?;
                Stream::Pipe(wait.id)
            }
            Wire::Rest(_) => return Err(LinkError::Absent("resources")),
        };
        let told = tokio::select! {
            honoured = honoured => match honoured {
                Ok(honoured) if new.is_none_or(|new| honoured.contains(new)) => Ok(None),
                Ok(_) | Err(_) => Err(LinkError::Absent("a subscription to this resource")),
            },
            answer = &mut wait.answer => match answer {
                Ok(Ok(response)) => match response.answer() {
                    jsonrpc::Answer::Error(_) => Ok(Some(response)),
                    // It ended before it was acknowledged.
                    jsonrpc::Answer::Result(_) => Err(LinkError::Absent("a subscription that goes on")),
                },
                Ok(Err(error)) => Err(error),
                Err(_) => Err(LinkError::Closed("the link was closed".into())),
            },
            () = tokio::time::sleep(self.start_timeout()) => Err(LinkError::Timeout(self.start_timeout())),
        };
        self.inbox.pending.forget(wait.id);
        lock(&watches.opening).remove(&wait.id);
        match &told {
            Ok(None) => self.listen_on(Some(stream)).await?,
            Ok(Some(_)) | Err(_) => self.give_up(stream).await?,
        }
        told
    }

    /// A stream, or none, takes the place of the one before.
    async fn listen_on(&self, stream: Option<Stream>) -> Result<(), LinkError> {
        let before = std::mem::replace(&mut *lock(&self.inbox.watches.stream), stream);
        if let Some(before) = before {
            self.give_up(before).await?;
        }
        // Whoever closed the link a moment ago did not see it.
        if self.closed().is_some() {
            self.inbox.watches.end();
        }
        Ok(())
    }

    async fn give_up(&self, stream: Stream) -> Result<(), LinkError> {
        match (stream, &self.wire) {
            (Stream::Http(stream), _) => stream.abort(),
            (Stream::Pipe(id), Wire::Pipe(pipe)) => pipe.send(encode::cancelled(id)).await?,
            (Stream::Pipe(_), Wire::Http(_) | Wire::Rest(_)) => {}
        }
        Ok(())
    }
}

/// The URI as it is sent: after redaction, like all that is.
fn sent_uri(call: &Passed<Recorded>) -> Option<String> {
    let uri = call.arrival().message.params()?.get("uri")?;
    let text = object(|out| out.edited("uri", uri, call.outgoing()));
    let text = Document::parse(text, Keys::Exact, &REQUEST).ok()?;
    text.root().get("uri")?.as_str().map(std::borrow::Cow::into_owned)
}

fn nothing() -> Answer {
    Answer::Own(Arc::new(Own {
        result: b"{}".to_vec(),
        ..Own::default()
    }))
}

/// A copy of a notification, for one of several who hear of it.
pub(crate) fn copy(notification: &Notification) -> Option<Message> {
    let text = notification.document().text().as_bytes().to_vec();
    Message::parse(text, Keys::Exact, &wire::bounds::ANSWER).ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use pipeline::ports::Nobody;

    use super::*;

    fn watcher(name: &str) -> Watcher {
        Watcher {
            name: Arc::from(name),
            exchange: Arc::new(Nobody),
        }
    }

    #[test]
    fn a_resource_is_watched_from_the_first_to_the_last_who_asks() {
        let watches = Watches::default();
        assert!(watches.add("test://a", watcher("one")));
        assert!(!watches.add("test://a", watcher("two")));
        assert!(!watches.add("test://a", watcher("two")), "again");
        assert_eq!(watches.of("test://a").len(), 2);
        assert!(!watches.remove("test://a", "one"));
        assert!(!watches.remove("test://a", "one"), "again");
        assert!(!watches.remove("test://b", "two"), "never asked for");
        assert_eq!(watches.release("two"), ["test://a"]);
        assert!(watches.is_empty());
    }

    #[test]
    fn whoever_watches_a_folder_hears_of_its_files_and_of_no_neighbour() {
        let watches = Watches::default();
        watches.add("file:///a", watcher("one"));
        for (changed, told) in [
            ("file:///a", 1),
            ("file:///a/b", 1),
            ("file:///a#top", 1),
            ("file:///ab", 0),
            ("file:///", 0),
        ] {
            assert_eq!(watches.of(changed).len(), told, "{changed}");
        }
    }
}
