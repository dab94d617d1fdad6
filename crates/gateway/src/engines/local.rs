//! The gateway, where it answers itself.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use pipeline::{
    Answer, Capabilities, Endpoint, Entry, Listing, Objection, Own, Passed, Ready, Tls,
    forward::Recorded,
    ports::{Caller, Exchange, Halts as _, Local},
    refusal,
    release::Filtered,
};
use policy::{ToolFacts, registry::ItemKind};
use upstream::Catalogue;
use wire::{
    bounds::{ANSWER, REQUEST},
    json::{Document, Edits, Keys, Node, ObjectWriter, object},
    jsonrpc::{self, Id, Message},
    mcp::{Direction, Era, Method, Revision, TASKS_EXTENSION, meta},
};

use super::{Engines, spotlight};
use crate::{
    conversations::{cursor::List, lists::Changed, sessions::Opening},
    registry::view::{View, text},
};

/// Most instructions of one server that are passed on, in bytes.
const INSTRUCTIONS_BYTES_MAX: usize = 4 * 1024;

/// Open `subscriptions/listen` streams (modern era).
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    open: Mutex<HashMap<u64, Listener>>,
    next: std::sync::atomic::AtomicU64,
}

#[derive(Clone, Debug)]
pub(super) struct Listener {
    pub(super) exchange: Arc<dyn Exchange>,
    pub(super) at: Endpoint,
    pub(super) tls: Option<Tls>,
    pub(super) id: Id,
    pub(super) wants: Changed,
}

impl Listeners {
    pub(super) fn add(&self, listener: Listener) -> u64 {
        let key = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.lock().insert(key, listener);
        key
    }

    pub(super) fn remove(&self, key: u64) {
        self.lock().remove(&key);
    }

    /// Tells every listener that wants it that lists of its own have changed.
    pub(crate) async fn lists_changed(
        &self,
        mut changed: impl FnMut(&Endpoint, &Caller, Option<&Tls>) -> Changed,
    ) {
        let open: Vec<Listener> = self.lock().values().cloned().collect();
        for listener in open {
            let Some(caller) = listener.exchange.caller() else {
                continue;
            };
            let changed = changed(&listener.at, &caller, listener.tls.as_ref());
            for method in changed.and(listener.wants).notices() {
                let text = jsonrpc::notification(method, |out| {
                    out.object("_meta", |out| listener.id.write(meta::SUBSCRIPTION_ID, out));
                });
                listener.exchange.deliver(text).await;
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Listener>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Local for Engines {
    async fn answer(&self, call: &Passed<Recorded>) -> Result<Answer, Objection> {
        self.heed(call)?;
        self.answer_on(call).await
    }

    fn cursor(&self, call: &Ready<Filtered>, listing: &Listing, last: &Entry) -> String {
        let owner = call.principal().key();
        let list = List {
            owner: &owner,
            endpoint: &call.arrival().endpoint,
            member: listing.member,
        };
        self.cursors.behind(&self.ambient, list, last)
    }
}

impl Engines {
    async fn answer_on(&self, call: &Passed<Recorded>) -> Result<Answer, Objection> {
        let arrival = call.arrival();
        let view = self.keeper.view();
        let at = &arrival.endpoint;
        let Some(method) = arrival.message.method() else {
            return self.client_answered(call);
        };
        match method {
            Method::Initialize => Ok(self.initialize(call, &view)),
            Method::ServerDiscover => Ok(own(object(|out| {
                out.array("supportedVersions", |list| {
                    for revision in SPOKEN {
                        list.string(revision.as_str());
                    }
                });
                write_offer(&view, at, (arrival.revision, &arrival.capabilities), out);
                out.object("_meta", |out| out.object(meta::SERVER_INFO, write_identity));
            }))),
            Method::ToolsList => self.listing(call, "tools", tools(&view, at, arrival.revision)),
            Method::PromptsList => self.listing(call, "prompts", view.entries(ItemKind::Prompt, at)),
            Method::ResourcesList => self.listing(call, "resources", self.known(call, &view, "uri")?),
            Method::ResourcesTemplatesList => {
                self.listing(call, "resourceTemplates", self.known(call, &view, "uriTemplate")?)
            }
            Method::ModelList => self.listing(call, "data", self.models.entries(arrival)),
            Method::SubscriptionsListen => self.listen(call).await,
            Method::NotificationsCancelled => {
                self.withdraw(call);
                Ok(Answer::Accepted)
            }
            Method::LoggingSetLevel => {
                self.log_level(call, Some(method))?;
                Ok(own(b"{}".to_vec()))
            }
            Method::Ping => Ok(own(b"{}".to_vec())),
            Method::NotificationsInitialized
            | Method::NotificationsProgress
            | Method::NotificationsRootsListChanged
            | Method::NotificationsTasksStatus => Ok(Answer::Accepted),
            Method::CompletionComplete
            | Method::ElicitationCreate
            | Method::ModelChat
            | Method::ModelMessages
            | Method::ModelResponses
            | Method::ModelTokens
            | Method::NotificationsElicitationComplete
            | Method::NotificationsMessage
            | Method::NotificationsPromptsListChanged
            | Method::NotificationsResourcesListChanged
            | Method::NotificationsResourcesUpdated
            | Method::NotificationsSubscriptionsAcknowledged
            | Method::NotificationsTasks
            | Method::NotificationsToolsListChanged
            | Method::PromptsGet
            | Method::ResourcesRead
            | Method::ResourcesSubscribe
            | Method::ResourcesUnsubscribe
            | Method::RootsList
            | Method::SamplingCreateMessage
            | Method::TasksCancel
            | Method::TasksGet
            | Method::TasksList
            | Method::TasksResult
            | Method::TasksUpdate
            | Method::ToolsCall => Err(Objection::new(
                &refusal::METHOD_UNKNOWN,
                format!("`{method}` is not the gateway's to answer"),
            )),
        }
    }
}

/// Revisions spoken here, newest first.
pub(crate) const SPOKEN: [Revision; 5] = [
    Revision::V2026_07_28,
    Revision::V2025_11_25,
    Revision::V2025_06_18,
    Revision::V2025_03_26,
    Revision::V2024_11_05,
];

impl Engines {
    /// The resources at the caller's door, as the caller knows what servers were told.
    fn known(&self, call: &Passed<Recorded>, view: &View, key: &str) -> Result<Vec<Entry>, Objection> {
        self.as_known(call, resources(view, &call.arrival().endpoint, key))
    }

    /// A list, from the cursor the caller came with.
    fn listing(
        &self,
        call: &Passed<Recorded>,
        member: &'static str,
        entries: Vec<Entry>,
    ) -> Result<Answer, Objection> {
        let params = call.arrival().message.params();
        let entries = match params
            .and_then(|params| params.get("cursor"))
            .filter(|cursor| !cursor.is_null())
        {
            None => entries,
            Some(cursor) => {
                let refuse =
                    || Objection::new(&refusal::CURSOR_REFUSED, "a cursor of no list of the caller's");
                let cursor = cursor.as_str().ok_or_else(refuse)?;
                let owner = call.principal().key();
                let list = List {
                    owner: &owner,
                    endpoint: &call.arrival().endpoint,
                    member,
                };
                self.cursors.rest(list, &cursor, entries).ok_or_else(refuse)?
            }
        };
        // Resources and templates are what servers say they are now; everything else was approved, or is the operator's.
        let is_pinned = !matches!(member, "resources" | "resourceTemplates");
        Ok(Answer::Listing(Listing {
            member,
            entries,
            is_pinned,
        }))
    }

    fn initialize(&self, call: &Passed<Recorded>, view: &View) -> Answer {
        let arrival = call.arrival();
        let declared = arrival
            .message
            .params()
            .and_then(|params| params.get("capabilities"));
        let capabilities = declared.map(Capabilities::declared).unwrap_or_default();
        let session = self.sessions.open(Opening {
            id: Arc::from(self.ambient.secret()),
            caller: call.caller().clone(),
            endpoint: arrival.endpoint.clone(),
            revision: arrival.revision,
            capabilities: capabilities.clone(),
            tls: arrival.via.tls.clone(),
            now_ms: arrival.received_ms,
        });
        let result = object(|out| {
            out.string("protocolVersion", arrival.revision.as_str());
            write_offer(view, &arrival.endpoint, (arrival.revision, &capabilities), out);
            out.object("serverInfo", write_identity);
        });
        Answer::Own(Arc::new(Own {
            result,
            session: Some(Arc::clone(&session.id)),
            ..Own::default()
        }))
    }

    /// The client answers a question a server asked it.
    fn client_answered(&self, call: &Passed<Recorded>) -> Result<Answer, Objection> {
        let arrival = call.arrival();
        let nothing = || Objection::new(&refusal::TARGET_UNKNOWN, "an answer to nothing that was asked");
        let session = arrival
            .session
            .as_ref()
            .and_then(|id| self.sessions.peek(id))
            .ok_or_else(nothing)?;
        let asked = arrival
            .message
            .id()
            .and_then(|id| session.asked(id))
            .ok_or_else(nothing)?;
        let text = arrival.message.document().text().as_bytes().to_vec();
        let Ok(Message::Response(response)) = Message::parse(text, Keys::Folded, &REQUEST) else {
            return Err(nothing());
        };
        // Whoever asked may have given up a moment ago.
        let _ = asked.send(response);
        Ok(Answer::Accepted)
    }

    fn withdraw(&self, call: &Passed<Recorded>) {
        let arrival = call.arrival();
        let id = arrival
            .message
            .params()
            .and_then(|params| params.get("requestId"))
            .and_then(Id::read);
        let session = arrival.session.as_ref().and_then(|id| self.sessions.peek(id));
        if let (Some(id), Some(session)) = (id, session) {
            session.withdraw(&id);
        }
    }
}

pub(super) fn own(result: Vec<u8>) -> Answer {
    Answer::Own(Arc::new(Own {
        result,
        ..Own::default()
    }))
}

/// The resources of the servers at an endpoint, as last seen.
pub(crate) fn resources(view: &View, at: &Endpoint, key: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (name, catalogue) in view.serving(at) {
        let Ok(server) = view.registry.pinned_server(name) else {
            continue;
        };
        let listed = if key == "uri" {
            &catalogue.resources
        } else {
            &catalogue.templates
        };
        let mut seen = BTreeSet::new();
        for document in listed {
            let Some(uri) = text(document, key) else { continue };
            // Pages go on behind a name, which has to be one entry's.
            if !seen.insert(uri.clone()) {
                continue;
            }
            // Written anew: whoever reads it next has to read what was judged (docs/decisions/0002).
            let shown = object(|out| out.members_except(document.root(), &[], &Edits::default()));
            let resource = match key {
                "uri" => server.resource_at(&uri),
                _ => server.resource_made(&uri),
            };
            entries.push(Entry {
                resource: Arc::new(resource),
                shown: Arc::from(shown),
            });
        }
    }
    entries
}

fn write_identity(out: &mut ObjectWriter<'_>) {
    out.string("name", "sallyport");
    out.string("title", "Sallyport");
    out.string("version", env!("CARGO_PKG_VERSION"));
}

/// Capabilities and instructions: what the servers behind the door offer.
fn write_offer(view: &View, at: &Endpoint, asker: (Revision, &Capabilities), out: &mut ObjectWriter<'_>) {
    out.object("capabilities", |out| {
        // Servers may still be starting; what they bring is announced when they have.
        out.object("tools", |out| out.boolean("listChanged", true));
        if view.has("prompts", at) {
            out.object("prompts", |out| out.boolean("listChanged", true));
        }
        if view.has("resources", at) {
            out.object("resources", |out| {
                out.boolean("listChanged", true);
                let subscribes = |c: &Catalogue| {
                    c.offered
                        .capabilities
                        .root()
                        .get("resources")
                        .and_then(|r| r.get("subscribe"))
                        .and_then(Node::as_bool)
                        == Some(true)
                };
                if view.serving(at).any(|(_, c)| subscribes(c)) {
                    out.boolean("subscribe", true);
                }
            });
        }
        write_extensions(view, at, asker, out);
        for plain in ["completions", "logging"] {
            if view.has(plain, at) {
                out.object(plain, |_| {});
            }
        }
    });
    let mut instructions = String::new();
    for (name, _) in view.serving(at) {
        // Only what was approved: instructions act on a model before any call does.
        let approved = view
            .registry
            .item(name, ItemKind::Instructions, "instructions")
            .ok();
        let Some(said) = approved.and_then(|pinned| text(pinned.definition().document(), "instructions"))
        else {
            continue;
        };
        let said: String = said.chars().take(INSTRUCTIONS_BYTES_MAX).collect();
        if at.single().is_some() {
            instructions = said;
        } else {
            instructions.push_str(&format!("Server `{name}`: {said}\n"));
        }
    }
    if !instructions.is_empty() {
        out.string("instructions", &instructions);
    }
}

/// Extensions that servers offer and the operator lets pass; tasks, in the words of the client's revision, where a server
/// has them in either era; and what the gateway does itself for who asks for it.
fn write_extensions(
    view: &View,
    at: &Endpoint,
    (revision, capabilities): (Revision, &Capabilities),
    out: &mut ObjectWriter<'_>,
) {
    let mut offered: BTreeMap<String, Node<'_>> = BTreeMap::new();
    let mut tasks = None;
    for (name, catalogue) in view.serving(at) {
        let passed = view
            .registry
            .server(name)
            .map(|server| &server.manifest.extensions);
        tasks = tasks.or_else(|| tasks_of(catalogue));
        let extensions = catalogue.offered.capabilities.root().get("extensions");
        for (name, settings) in extensions.into_iter().flat_map(Node::members) {
            let Some(name) = name.as_str() else { continue };
            if name != TASKS_EXTENSION && passed.is_some_and(|passed| passed.contains(name.as_ref())) {
                offered.entry(name.into_owned()).or_insert(settings);
            }
        }
    }
    let is_legacy = revision.era() == Era::Legacy;
    if let Some(tasks) = tasks
        && Method::TasksGet.exists(revision, Direction::ToServer)
        && is_legacy
    {
        match tasks {
            Era::Legacy if at.single().is_some() => {
                let said = view.serving(at).next();
                let said = said.and_then(|(_, catalogue)| catalogue.offered.capabilities.root().get("tasks"));
                said.into_iter().for_each(|said| out.node("tasks", said));
            }
            // Whose tasks a list would be of, nobody could say; and the other era has none.
            Era::Legacy | Era::Modern => out.object("tasks", |out| {
                out.object("cancel", |_| {});
                out.object("requests", |out| {
                    out.object("tools", |out| out.object("call", |_| {}));
                });
            }),
        }
    }
    if !offered.is_empty() || (tasks.is_some() && !is_legacy) || spotlight::is_declared(capabilities) {
        out.object("extensions", |out| {
            spotlight::write_extension(capabilities, out);
            if tasks.is_some() && !is_legacy {
                out.object(TASKS_EXTENSION, |_| {});
            }
            offered
                .iter()
                .for_each(|(name, settings)| out.node(name, *settings));
        });
    }
}

/// The tools behind a door. Those of servers of the modern era that make tasks are shown to clients of 2025-11-25 as these
/// look for them: they ask for a task of no tool that does not say so.
fn tools(view: &View, at: &Endpoint, revision: Revision) -> Vec<Entry> {
    let mut tools = view.entries(ItemKind::Tool, at);
    if revision != Revision::V2025_11_25 {
        return tools;
    }
    let serving = view.serving(at);
    let makers: BTreeSet<&str> = serving
        .filter(|(_, catalogue)| tasks_of(catalogue) == Some(Era::Modern))
        .map(|(name, _)| name.as_str())
        .collect();
    for tool in &mut tools {
        let is_makers = |facts: &ToolFacts| makers.contains(facts.server.as_str());
        if tool.resource.facts().is_some_and(is_makers)
            && let Ok(shown) = Document::parse(tool.shown.to_vec(), Keys::Exact, &ANSWER)
        {
            let shown = object(|out| {
                out.members_except(shown.root(), &["execution"], &Edits::default());
                out.object("execution", |out| out.string("taskSupport", "optional"));
            });
            tool.shown = Arc::from(shown);
        }
    }
    tools
}

/// The era in which a server makes tasks of calls.
fn tasks_of(catalogue: &Catalogue) -> Option<Era> {
    let era = catalogue.offered.revision.era();
    let path: &[&str] = match era {
        Era::Legacy => &["tasks", "requests", "tools", "call"],
        Era::Modern => &["extensions", TASKS_EXTENSION],
    };
    let root = catalogue.offered.capabilities.root();
    let found = path.iter().try_fold(root, |node, name| node.get(name));
    found.map(|_| era)
}

/// The legacy revision to settle on with a client that asks for one.
pub(crate) fn settle(asked: Option<&str>) -> Revision {
    let known = asked.and_then(Revision::parse);
    known
        .filter(|revision| revision.era() == Era::Legacy && SPOKEN.contains(revision))
        .unwrap_or(Revision::LATEST_LEGACY)
}
