//! `--protocol auto`: a host of sessions (2025-11-25 and before) at a server of the modern era (2026-07-28).
//!
//! The host is answered its handshake here; each request of it is sent with what the modern era wants in every one. What
//! such a server asks in an answer (`input_required`) is put to the host as the requests it knows, and what it says of
//! changes in a stream is passed on. A server of sessions is spoken to as ever.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use hyper::{Method as Verb, Response, body::Incoming, header::CONTENT_TYPE};
use tokio::{sync::oneshot, task::AbortHandle};
use wire::{
    bounds::{ANSWER, REQUEST},
    framing::EventReader,
    json::{Document, Edits, Keys, Kind, Node, ObjectWriter, object},
    jsonrpc::{self, Id, Message, Request},
    mcp::{Method, Revision, code, meta},
};

use super::bridge::{Bridge, Running, Sending, called, declared};
use crate::{failure::Failure, outside::fetch::Fetch};

/// How ids of our own requests begin: to the host, and to the server.
const ASKS: &str = "sallyport-asks-";
const LISTENS: &str = "sallyport-listens-";
/// Most times a server may answer one request with questions.
const ROUNDS: usize = 10;
/// How long a stream that ended is not opened again.
const PAUSE: Duration = Duration::from_secs(5);
const MODERN: Revision = Revision::V2026_07_28;

/// A server of the modern era, and the host as it knows it.
pub(super) struct Modern {
    /// What the host can do, and what it calls itself.
    capabilities: Vec<u8>,
    client: Option<Vec<u8>>,
    /// What the server tells of by itself.
    tells: Vec<&'static str>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    level: Option<String>,
    resources: BTreeSet<String>,
    /// Who waits for the host's answers.
    questions: HashMap<String, oneshot::Sender<Vec<u8>>>,
    asked: u64,
    /// Calls on their way: to end the connection is to cancel it.
    calls: HashMap<Id, AbortHandle>,
    listening: Option<AbortHandle>,
}

/// What a server wants to know before it answers, with the host's answers.
struct Told {
    responses: Vec<u8>,
    state: Option<String>,
}

/// A question that the host has not answered: it goes with the call it was asked for, whenever that ends.
struct Open<'a> {
    bridge: &'a Bridge,
    modern: &'a Modern,
    id: &'a str,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if self.modern.held().questions.remove(self.id).is_some() {
            let id = Id::String(self.id.to_owned());
            let withdrawn = jsonrpc::notification(Method::NotificationsCancelled, |params| {
                id.write("requestId", params);
            });
            self.bridge.mention(withdrawn);
        }
    }
}

impl Modern {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What every request says.
    fn write_meta(&self, out: &mut ObjectWriter<'_>) {
        out.string(meta::PROTOCOL_VERSION, MODERN.as_str());
        out.json(meta::CLIENT_CAPABILITIES, &self.capabilities);
        if let Some(client) = &self.client {
            out.json(meta::CLIENT_INFO, client);
        }
        if let Some(level) = &self.held().level {
            out.string(meta::LOG_LEVEL, level);
        }
    }

    /// The host's request as the server wants it.
    fn rewritten(&self, request: &Message, told: Option<&Told>) -> Vec<u8> {
        let none = Edits::default();
        let params = request.params();
        let given = params.and_then(meta::of);
        object(|out| {
            out.members_except(request.document().root(), &["params"], &none);
            out.object("params", |out| {
                if let Some(params) = params {
                    out.members_except(params, &["_meta"], &none);
                }
                if let Some(told) = told {
                    out.json("inputResponses", &told.responses);
                    if let Some(state) = &told.state {
                        out.string("requestState", state);
                    }
                }
                out.object("_meta", |out| {
                    if let Some(given) = given {
                        out.members_except(given, &meta::MODERN_REQUEST_KEYS, &none);
                    }
                    self.write_meta(out);
                });
            });
        })
    }

    /// Whether the host said that it can be asked this.
    fn can_be_asked(&self, method: &str, params: Option<Node<'_>>) -> bool {
        let Ok(can) = Document::parse(self.capabilities.clone(), Keys::Exact, &REQUEST) else {
            return false;
        };
        let has = |name: &str| can.root().get(name).is_some();
        match method {
            "sampling/createMessage" => has("sampling"),
            "roots/list" => has("roots"),
            // A link is for hosts that know links, and the handshake says nothing of them here.
            "elicitation/create" => {
                let mode = params.and_then(|params| params.get("mode"));
                has("elicitation") && mode.is_none_or(|mode| mode.is_str("form"))
            }
            _ => false,
        }
    }
}

impl Bridge {
    /// The first request of a host: if the server is of the modern era, it is answered here. Whether it was.
    pub(super) async fn open_modern(self: &Arc<Self>, hello: &Message) -> bool {
        let (Some(id), Some(params)) = (hello.id(), hello.params()) else {
            return false;
        };
        let part = |name: &str| params.get(name).map(|part| part.written().as_bytes().to_vec());
        let mut modern = Modern {
            capabilities: part("capabilities").unwrap_or_else(|| b"{}".to_vec()),
            client: part("clientInfo"),
            tells: Vec::new(),
            held: Mutex::default(),
        };
        let line = jsonrpc::request(id, Method::ServerDiscover, |params| {
            params.object("_meta", |out| modern.write_meta(out));
        });
        let Ok(found) = self.asked(line).await else {
            return false;
        };
        let Some(result) = found.root().get("result") else {
            return false;
        };
        let versions = result
            .get("supportedVersions")
            .into_iter()
            .flat_map(Node::elements);
        if !versions
            .into_iter()
            .any(|version| version.is_str(MODERN.as_str()))
        {
            return false;
        }
        for (capability, member, wanted) in [
            ("tools", "listChanged", "toolsListChanged"),
            ("prompts", "listChanged", "promptsListChanged"),
            ("resources", "listChanged", "resourcesListChanged"),
        ] {
            let says = result
                .get("capabilities")
                .and_then(|all| all.get(capability)?.get(member));
            if says.and_then(Node::as_bool) == Some(true) {
                modern.tells.push(wanted);
            }
        }
        let wanted = params.get("protocolVersion").and_then(Node::as_str);
        let version = wanted.and_then(|text| Revision::parse(&text));
        let version = version
            .filter(|version| *version != MODERN)
            .unwrap_or(Revision::LATEST_LEGACY);
        let named = meta::of(result).and_then(|meta| meta.get(meta::SERVER_INFO));
        let answer = object(|out| {
            out.string("protocolVersion", version.as_str());
            match result.get("capabilities") {
                Some(capabilities) => out.node("capabilities", capabilities),
                None => out.object("capabilities", |_| {}),
            }
            match named.or_else(|| result.get("serverInfo")) {
                Some(info) => out.node("serverInfo", info),
                None => out.object("serverInfo", |out| {
                    out.string("name", "unknown");
                    out.string("version", "0");
                }),
            }
            if let Some(instructions) = result.get("instructions") {
                out.node("instructions", instructions);
            }
        });
        self.be_modern(Arc::new(modern));
        self.say(jsonrpc::result(id, &answer)).await;
        true
    }

    /// A line of the host, for a server of the modern era.
    pub(super) async fn take_modern(
        self: &Arc<Self>,
        modern: &Arc<Modern>,
        message: Message,
        running: &mut Running,
    ) {
        match message {
            Message::Response(response) => {
                let Some(Id::String(id)) = response.id() else {
                    return;
                };
                let asker = modern.held().questions.remove(id);
                if let Some(asker) = asker {
                    let _ = asker.send(response.document().text().as_bytes().to_vec());
                }
            }
            Message::Notification(note) if note.method() == Method::NotificationsInitialized => {
                self.listen_modern(modern);
            }
            Message::Notification(note) if note.method() == Method::NotificationsCancelled => {
                let id = note
                    .params()
                    .and_then(|params| Id::read(params.get("requestId")?));
                let call = id.and_then(|id| modern.held().calls.remove(&id));
                if let Some(call) = call {
                    call.abort();
                }
            }
            // The modern era knows no others of a client.
            Message::Notification(_) => {}
            Message::Request(request) => self.ask_modern(modern, request, running).await,
        }
    }

    /// What the modern era has no request for is answered here, and the rest is sent.
    async fn ask_modern(self: &Arc<Self>, modern: &Arc<Modern>, request: Request, running: &mut Running) {
        let (method, id) = (request.method(), request.id().clone());
        let text = |name: &str| {
            let found = request.params().and_then(|params| params.get(name));
            found.and_then(Node::as_str).map(|text| text.into_owned())
        };
        if method == Method::LoggingSetLevel {
            modern.held().level = text("level");
        } else if method == Method::ResourcesSubscribe || method == Method::ResourcesUnsubscribe {
            let uri = text("uri").unwrap_or_default();
            if method == Method::ResourcesSubscribe {
                modern.held().resources.insert(uri);
            } else {
                modern.held().resources.remove(&uri);
            }
            self.listen_modern(modern);
        } else if method != Method::Ping {
            let (bridge, own) = (Arc::clone(self), Arc::clone(modern));
            let key = id.clone();
            let call = running.calls.spawn(async move {
                if let Err(failure) = bridge.call_modern(&own, Message::Request(request)).await {
                    let text = failure.to_string();
                    bridge.complain(&text);
                    bridge
                        .say(jsonrpc::error(Some(&id), code::INTERNAL_ERROR, &text, None))
                        .await;
                }
                own.held().calls.remove(&id);
            });
            // One that was over before is not remembered.
            let mut held = modern.held();
            held.calls.retain(|_, call| !call.is_finished());
            held.calls.insert(key, call);
            return;
        }
        self.say(jsonrpc::result(&id, b"{}")).await;
    }

    /// One request, with as many rounds of questions as it takes.
    async fn call_modern(self: &Arc<Self>, modern: &Modern, message: Message) -> Result<(), Failure> {
        if let Some((id, name)) = called(&message).filter(|(_, name)| self.is_ignored(name)) {
            let text = format!("Tool \"{name}\" is not available");
            self.say(jsonrpc::error(Some(&id), code::INTERNAL_ERROR, &text, None))
                .await;
            return Ok(());
        }
        let mut told = None;
        for _ in 0..ROUNDS {
            let answer = self.asked(modern.rewritten(&message, told.as_ref())).await?;
            let root = answer.root();
            let result = root.get("result");
            let kind = result.and_then(|result| result.get("resultType"));
            match result {
                Some(result) if kind.is_some_and(|kind| kind.is_str("input_required")) => {
                    told = Some(self.put(modern, result).await?);
                }
                Some(result) => {
                    let none = Edits::default();
                    let plain = object(|out| {
                        out.members_except(root, &["result"], &none);
                        out.object("result", |out| out.members_except(result, &["resultType"], &none));
                    });
                    self.pass(plain).await;
                    return Ok(());
                }
                None => {
                    self.pass(answer.text().as_bytes().to_vec()).await;
                    return Ok(());
                }
            }
        }
        Err(Failure::refused(format!(
            "the server asks and asks; {ROUNDS} times are the most"
        )))
    }

    /// Puts a server's questions to the host.
    async fn put(&self, modern: &Modern, result: Node<'_>) -> Result<Told, Failure> {
        let mut answers = Vec::new();
        for (key, question) in result.get("inputRequests").into_iter().flat_map(Node::members) {
            let method = question.get("method").and_then(Node::as_str).unwrap_or_default();
            let params = question.get("params");
            if !modern.can_be_asked(&method, params) {
                return Err(Failure::refused(format!(
                    "the server asks for `{}`, which this host did not say it can answer",
                    method.escape_debug()
                )));
            }
            let (asker, answer) = oneshot::channel();
            let id = {
                let mut held = modern.held();
                held.asked += 1;
                let id = format!("{ASKS}{}", held.asked);
                held.questions.insert(id.clone(), asker);
                id
            };
            let open = Open {
                bridge: self,
                modern,
                id: &id,
            };
            let asks = object(|out| {
                out.string("jsonrpc", "2.0");
                out.string("id", &id);
                out.string("method", &method);
                if let Some(params) = params {
                    out.node("params", params);
                }
            });
            self.say(asks).await;
            let answer = answer
                .await
                .map_err(|_| Failure::refused("the host answers no more"))?;
            drop(open);
            let answer = Document::parse(answer, Keys::Exact, &REQUEST);
            let answer = answer.map_err(|error| Failure::refused(error.to_string()))?;
            let said = answer.root().get("result").ok_or_else(|| {
                let why = answer
                    .root()
                    .get("error")
                    .and_then(|error| error.get("message")?.as_str());
                Failure::refused(format!("the host does not answer: {}", why.unwrap_or_default()))
            })?;
            let key = key.as_str().unwrap_or_default().into_owned();
            answers.push((key, said.written().as_bytes().to_vec()));
        }
        Ok(Told {
            responses: object(|out| answers.iter().for_each(|(key, answer)| out.json(key, answer))),
            state: result
                .get("requestState")
                .and_then(Node::as_str)
                .map(std::borrow::Cow::into_owned),
        })
    }

    /// Has the server say what changes, anew whenever the host wants to hear of something else.
    fn listen_modern(self: &Arc<Self>, modern: &Arc<Modern>) {
        let (bridge, own) = (Arc::clone(self), Arc::clone(modern));
        let mut held = modern.held();
        if let Some(before) = held.listening.take() {
            before.abort();
        }
        if modern.tells.is_empty() && held.resources.is_empty() {
            return;
        }
        held.listening = Some(self.beside(async move {
            for n in 0_u64.. {
                let resources = own.held().resources.clone();
                let id = Id::String(format!("{LISTENS}{n}"));
                let line = jsonrpc::request(&id, Method::SubscriptionsListen, |params| {
                    params.object("notifications", |out| {
                        own.tells.iter().for_each(|wanted| out.boolean(wanted, true));
                        if !resources.is_empty() {
                            out.array("resourceSubscriptions", |list| {
                                resources.iter().for_each(|uri| list.string(uri));
                            });
                        }
                    });
                    params.object("_meta", |out| own.write_meta(out));
                });
                if let Err(failure) = bridge.asked(line).await {
                    bridge.complain(&failure.to_string());
                }
                tokio::time::sleep(PAUSE).await;
            }
        }));
    }

    /// Asks the server; what comes before the answer is passed on.
    async fn asked(&self, line: Vec<u8>) -> Result<Document, Failure> {
        let unread = |_| Failure::unreachable("what is to be sent cannot be read");
        let message = Message::parse(line.clone(), Keys::Exact, &REQUEST).map_err(unread)?;
        let line = match self.context() {
            Some(context) => declared(&message, line, context),
            None => line,
        };
        let sending = Sending {
            method: Verb::POST,
            line: Bytes::from(line),
            message: Some(&message),
            accept: "application/json, text/event-stream",
        };
        self.answer(self.send(&sending).await?).await
    }

    async fn answer(&self, response: Response<Incoming>) -> Result<Document, Failure> {
        let status = response.status();
        let content = response
            .headers()
            .get(CONTENT_TYPE)
            .map(|value| value.as_bytes().to_vec());
        let content = content.unwrap_or_default();
        let parsed = |bytes: Vec<u8>| {
            let document = Document::parse(bytes, Keys::Exact, &ANSWER);
            let document = document
                .ok()
                .filter(|document| document.root().kind() == Kind::Object);
            document
                .ok_or_else(|| Failure::unreachable(format!("the server answered {status} and no message")))
        };
        if !content.starts_with(b"text/event-stream") {
            return parsed(Fetch::whole(response).await?);
        }
        let mut body = response.into_body();
        let mut reader = EventReader::new(ANSWER.text_bytes_max);
        while let Some(data) = self.next(&mut body).await? {
            let mut events = Vec::new();
            let pushed = reader.push(&data, |event| events.push(event.data));
            pushed.map_err(|error| Failure::unreachable(error.to_string()))?;
            for event in events.into_iter().filter(|event| !event.is_empty()) {
                let document = parsed(event)?;
                match document.root().get("method") {
                    None => return Ok(document),
                    Some(method) if method.is_str("notifications/subscriptions/acknowledged") => {}
                    Some(_) => self.pass(document.text().as_bytes().to_vec()).await,
                }
            }
        }
        Err(Failure::unreachable(
            "the server's stream ended without an answer",
        ))
    }
}
