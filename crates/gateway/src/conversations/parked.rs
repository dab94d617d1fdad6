//! Calls of modern clients that wait for the client: a server asked something while the call ran.
//!
//! In the modern era a client is asked in the answer to its call, and calls again with its answers. Until then
//! the call goes on at the server and is parked here: for a while, for its owner alone, and to be taken up
//! once. `requestState` names it, sealed to the owner, to the call's content and to an hour.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use pipeline::{
    Answer, Capabilities, Objection,
    ports::{Asks, Boxed, Caller, Exchange, Hold, Nobody, Question},
    refusal,
};
use tokio::sync::{Mutex as AsyncMutex, oneshot, watch};
use wire::{
    bounds::REQUEST,
    json::{Document, Keys, Kind, Node, ObjectWriter, canonical, object},
    jsonrpc::{self, Id, Message, Response},
    mcp::{LogLevel, Method},
};

use crate::{
    ambient::Ambient,
    conversations::{
        onward::{Lost, Onward},
        room::{Held, Room, Share},
        sealed::Seal,
    },
};

/// How long a call waits for its client.
const PATIENCE_MS: i64 = 10 * 60 * 1000;
/// Most calls of one principal that wait, and of all.
const OF_ONE_MAX: usize = 32;
const OF_ALL_MAX: usize = 4_096;
/// What the names of the gateway's own questions begin with.
const OWN: &str = "io.sallyport/";
/// What a server asks within this time of its last question goes into the same answer, up to so many questions.
const TOGETHER: Duration = Duration::from_millis(50);
const TOGETHER_MAX: usize = 16;
/// Most answers that are taken before they are asked for.
const EARLY_MAX: usize = 16;

/// All parked calls.
#[derive(Debug)]
pub(crate) struct Parking {
    seal: Seal,
    places: Mutex<HashMap<[u8; 16], Arc<Place>>>,
    room: Room,
}

/// One call and where its client is.
#[derive(Debug)]
pub(crate) struct Place {
    name: [u8; 16],
    owner: String,
    /// Worked out when the call is parked: few are.
    content: OnceLock<[u8; 32]>,
    running: AsyncMutex<Onward<Result<Answer, Objection>>>,
    relay: Arc<Relay>,
    /// Which `requestState` is the next to be taken, and until when.
    round: Mutex<(u32, i64)>,
    /// What the call says, in memory, and the room for that while it is parked.
    bytes: usize,
    held: Mutex<Option<Held>>,
}

/// What there is to say to a client that waits.
pub(crate) enum Next {
    /// The call's answer.
    Answer(Result<Answer, Objection>),
    /// Questions: a result object.
    Questions(Vec<u8>),
}

impl Parking {
    /// Nothing is parked. What an earlier process sealed cannot be opened.
    pub(crate) fn new(ambient: &Ambient) -> Option<Self> {
        Some(Self {
            seal: Seal::new(ambient)?,
            places: Mutex::default(),
            room: Room::default(),
        })
    }

    /// The room of a caller, whichever model it names, for what waits for its client.
    pub(crate) fn room(&self, caller: &Caller) -> Share {
        self.room.of(&caller.principal.holder())
    }

    /// Takes a call in, which has so many bytes. What lasts as long as the call lasts until its work is done: the passage
    /// that sends it ends when the server asks something.
    pub(crate) fn begin(
        &self,
        ambient: &Ambient,
        caller: &Caller,
        (relay, bytes): (Arc<Relay>, usize),
        held: Option<Hold>,
        running: impl Future<Output = Result<Answer, Objection>> + Send + 'static,
    ) -> Arc<Place> {
        let running = async move {
            let _held = held;
            running.await
        };
        Arc::new(Place {
            name: ambient.bytes(),
            owner: caller.principal.key(),
            content: OnceLock::new(),
            running: AsyncMutex::new(Onward::new(Box::pin(running))),
            relay,
            round: Mutex::new((0, i64::MAX)),
            bytes,
            held: Mutex::default(),
        })
    }

    /// Waits for what there is to say; a call that asks is parked with it, bound to its content.
    pub(crate) async fn next(
        &self,
        place: Arc<Place>,
        content: impl FnOnce() -> [u8; 32],
        ambient: &Ambient,
    ) -> Result<Next, Objection> {
        let mut running = place.running.lock().await;
        let asked = tokio::select! {
            biased;
            answer = &mut *running => Some(answer),
            () = place.relay.is_asking() => None,
        };
        if asked.is_none() {
            running.let_go();
        }
        drop(running);
        if let Some(answer) = asked {
            lock(&self.places).remove(&place.name);
            let lost = || Objection::new(&refusal::INTERNAL, "the call was lost");
            return Ok(Next::Answer(answer.map_err(|Lost| lost())?));
        }
        self.park(&place)?;
        let until_ms = ambient.now_ms() + PATIENCE_MS;
        let round = {
            let mut round = lock(&place.round);
            *round = (round.0 + 1, until_ms);
            round.0
        };
        place.relay.attach(Arc::new(Nobody));
        let content = place.content.get_or_init(content);
        let state = self.seal(&place, content, round, ambient);
        Ok(Next::Questions(place.relay.questions(&state)))
    }

    fn park(&self, place: &Arc<Place>) -> Result<(), Objection> {
        let mut places = lock(&self.places);
        let own = places
            .values()
            .filter(|held| held.relay.room.is_of_the_owner_of(&place.relay.room));
        let own = own.count();
        if !places.contains_key(&place.name) && (own >= OF_ONE_MAX || places.len() >= OF_ALL_MAX) {
            drop(places);
            place.relay.give_up();
            let why = "too many calls wait for an answer of the client";
            return Err(Objection::new(&refusal::OVER_LIMIT, why));
        }
        let mut held = lock(&place.held);
        if held.is_none() {
            match place.relay.room.take(place.bytes) {
                Ok(room) => *held = Some(room),
                Err(objection) => {
                    drop((held, places));
                    place.relay.give_up();
                    return Err(objection);
                }
            }
        }
        places.insert(place.name, Arc::clone(place));
        Ok(())
    }

    /// Takes a parked call up: for its owner, for the same content, once. The client's answers go to whoever
    /// asked; what it did not answer is asked again.
    pub(crate) fn take_up(
        &self,
        state: &str,
        caller: &Caller,
        content: [u8; 32],
        responses: Option<Node<'_>>,
        exchange: Arc<dyn Exchange>,
        now_ms: i64,
    ) -> Result<Arc<Place>, Objection> {
        let refuse = |why: &str| Objection::new(&refusal::STATE_REFUSED, why);
        let owner = caller.principal.key();
        let (name, said) = self
            .open(state, &owner, &content)
            .ok_or_else(|| refuse("it was sealed for somebody else, for another call, or not here"))?;
        let place = lock(&self.places).get(&name).cloned();
        let place = place.ok_or_else(|| refuse("the call it names is over"))?;
        {
            let mut round = lock(&place.round);
            if round.0 != said || now_ms > round.1 {
                return Err(refuse("it was used already, or its time is over"));
            }
            // Whoever comes with the same state again is too late.
            *round = (said.wrapping_add(1), i64::MAX);
        }
        place.relay.attach(exchange);
        place.relay.answer(responses);
        Ok(place)
    }

    /// Gives up calls whose clients never came back.
    pub(crate) fn sweep(&self, now_ms: i64) {
        lock(&self.places).retain(|_, place| {
            let over = now_ms > lock(&place.round).1;
            if over {
                place.relay.give_up();
            }
            !over
        });
    }

    /// `requestState`: a place and a round.
    fn seal(&self, place: &Place, content: &[u8; 32], round: u32, ambient: &Ambient) -> String {
        let state = [place.name.as_slice(), &round.to_be_bytes()].concat();
        let bound = bound(&place.owner, content);
        self.seal.seal(ambient, &bound, &state)
    }

    fn open(&self, state: &str, owner: &str, content: &[u8; 32]) -> Option<([u8; 16], u32)> {
        let plain = self.seal.open(state, &bound(owner, content))?;
        let (name, round) = plain.split_first_chunk::<16>()?;
        Some((*name, u32::from_be_bytes(round.try_into().ok()?)))
    }
}

/// What a state is bound to: whose call it is, and what the call says.
fn bound(owner: &str, content: &[u8; 32]) -> Vec<u8> {
    [
        b"sallyport request state 1\0".as_slice(),
        content,
        owner.as_bytes(),
    ]
    .concat()
}

/// What a call says, besides what changes when it is sent again.
pub(crate) fn content(server: &str, method: Method, params: Option<Node<'_>>) -> [u8; 32] {
    let mut text = format!("{server}\0{method}\0").into_bytes();
    for (key, value) in params.into_iter().flat_map(Node::members) {
        let name = key.as_str().unwrap_or_default();
        if !matches!(name.as_ref(), "_meta" | "inputResponses" | "requestState") {
            text.extend(canonical(key));
            text.extend(canonical(value));
        }
    }
    let mut content = [0; 32];
    content.copy_from_slice(digest(&SHA256, &text).as_ref());
    content
}

/// The client's side of a call that may be parked: whichever of the client's requests is there now.
pub(crate) struct Relay {
    /// For its questions, and for answers nobody asked for yet.
    room: Share,
    /// Who was there last, with what that client declared.
    party: Mutex<(Option<Caller>, Capabilities)>,
    log_level: Option<LogLevel>,
    /// Each call makes one, and few ask anything: so there is one place to watch, and not two.
    desk: watch::Sender<Desk>,
}

/// Questions to the client, and the way to it.
#[derive(Default)]
struct Desk {
    /// Whichever of its requests is there now.
    exchange: Option<Arc<dyn Exchange>>,
    expected: HashSet<Id>,
    /// The server says how much it asks at a time (modern era).
    announced: bool,
    open: BTreeMap<String, Open>,
    early: HashMap<String, Document>,
    early_held: Option<Held>,
    next: u64,
}

/// A question that waits, where its answer goes, and the room it takes.
type Open = (Question, oneshot::Sender<Response>, Held);

/// Whoever waits for an answer. Who waits no longer takes the question away, and with it the room: fields go in this order.
struct Asker {
    answer: oneshot::Receiver<Response>,
    _leaves: Leaves,
}

struct Leaves {
    desk: watch::Sender<Desk>,
    key: String,
}

impl Drop for Leaves {
    fn drop(&mut self) {
        self.desk.send_if_modified(|desk| {
            let open = desk.open.get(&self.key);
            let is_left = open.is_some_and(|(_, waiting, _)| waiting.is_closed());
            is_left && desk.open.remove(&self.key).is_some()
        });
    }
}

impl Relay {
    /// For a call that came on this exchange.
    pub(crate) fn new(
        exchange: Arc<dyn Exchange>,
        capabilities: Capabilities,
        log_level: Option<LogLevel>,
        room: Share,
    ) -> Arc<Self> {
        Arc::new(Self {
            room,
            party: Mutex::new((exchange.caller(), capabilities)),
            log_level,
            desk: watch::Sender::new(Desk {
                exchange: Some(exchange),
                ..Desk::default()
            }),
        })
    }

    /// The client came back: what is asked from now on is judged by who it is, and what it declares, now.
    pub(crate) fn came_back(&self, caller: Option<Caller>, capabilities: Capabilities) {
        *self.party() = (caller, capabilities);
    }

    fn party(&self) -> MutexGuard<'_, (Option<Caller>, Capabilities)> {
        self.party.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn attach(&self, exchange: Arc<dyn Exchange>) {
        self.desk.send_modify(|desk| desk.exchange = Some(exchange));
    }

    /// Nobody comes back: the call is withdrawn at the server.
    pub(crate) fn give_up(&self) {
        self.desk.send_modify(|desk| {
            desk.exchange = None;
            desk.open.clear();
        });
    }

    /// Resolves when there is something to ask, and nothing more is about to be.
    async fn is_asking(&self) {
        let mut desk = self.desk.subscribe();
        let mut open = 0;
        // A server of sessions asks by one request after the other, and does not say how many it will be.
        for _ in 0..TOGETHER_MAX {
            let more = |desk: &Desk| desk.open.len() > open && desk.expected.is_empty();
            let asking = async {
                desk.wait_for(more)
                    .await
                    .map(|desk| (desk.open.len(), desk.announced))
            };
            let asked = if open == 0 {
                asking.await
            } else {
                match tokio::time::timeout(TOGETHER, asking).await {
                    Ok(asked) => asked,
                    Err(_) => return,
                }
            };
            match asked {
                Ok((_, true)) => return,
                Ok((now, false)) => open = now,
                Err(_) => std::future::pending::<()>().await,
            }
        }
    }

    /// Resolves when there is something to ask and nothing more is about to be, or all that was to be asked was refused.
    pub(crate) async fn is_asked(&self) {
        let mut desk = self.desk.subscribe();
        let nothing_more = desk.wait_for(|desk| desk.announced && desk.expected.is_empty());
        tokio::select! {
            _ = nothing_more => {}
            () = self.is_asking() => {}
        }
    }

    /// Whether the client has something to answer.
    pub(crate) fn asks_anything(&self) -> bool {
        let desk = self.desk.borrow();
        desk.open.values().any(|(_, waiting, _)| !waiting.is_closed())
    }

    /// The result that asks.
    fn questions(&self, state: &str) -> Vec<u8> {
        object(|out| {
            out.string("resultType", "input_required");
            out.object("inputRequests", |out| self.write_questions(out));
            out.string("requestState", state);
        })
    }

    /// What the client has to answer, by the names it answers under.
    pub(crate) fn write_questions(&self, out: &mut ObjectWriter<'_>) {
        // Nobody takes an answer any more to what was waited for too long.
        let desk = self.desk.borrow();
        let open = desk
            .open
            .iter()
            .filter(|(_, (_, waiting, _))| !waiting.is_closed());
        for (key, (question, ..)) in open {
            out.object(key, |out| {
                out.string("method", question.method.name());
                if question.params != b"{}" || question.method != Method::RootsList {
                    out.json("params", &question.params);
                }
            });
        }
    }

    /// Hands answers to whoever asked, and says how many that were. An answer to nothing that was asked is none.
    pub(crate) fn answer(&self, responses: Option<Node<'_>>) -> usize {
        let mut count = 0;
        self.desk.send_modify(|desk| {
            for (key, said) in responses.into_iter().flat_map(Node::members) {
                let key = key.as_str().unwrap_or_default();
                let open = desk.open.get(key.as_ref());
                let Some(response) = open.and_then(|(asked, ..)| response(asked, said)) else {
                    continue;
                };
                if let Some((_, waiting, _)) = desk.open.remove(key.as_ref()) {
                    // Whoever asked may have given up a moment ago.
                    let _ = waiting.send(response);
                    count += 1;
                }
            }
        });
        count
    }

    /// Takes answers that came with the call, before anybody asked: they are for questions of these names. Those for which
    /// there is no room are asked for again.
    pub(crate) fn take_early(&self, responses: Option<Node<'_>>) {
        let Some(responses) = responses else { return };
        let members = responses.members().take(EARLY_MAX);
        let early = members.filter_map(|(key, said)| {
            let copy = object(|out| out.json("said", said.written().as_bytes()));
            let copy = (said.kind() == Kind::Object).then_some(copy)?;
            let copy = Document::parse(copy, Keys::Folded, &REQUEST).ok()?;
            Some((key.as_str()?.into_owned(), copy))
        });
        let early: Vec<(String, Document)> = early.collect();
        let bytes = early.iter().map(|(_, said)| said.bytes_held()).sum();
        if let Ok(held) = self.room.take(bytes) {
            self.desk.send_modify(|desk| {
                desk.early.extend(early);
                desk.early_held = Some(held);
            });
        }
    }
}

/// What a client said, as the response to a question; none if it does not answer it.
fn response(question: &Question, said: Node<'_>) -> Option<Response> {
    if !answers(question.method, said) {
        return None;
    }
    let text = jsonrpc::result(&question.id, said.written().as_bytes());
    match Message::parse(text, Keys::Folded, &REQUEST) {
        Ok(Message::Response(response)) => Some(response),
        Ok(Message::Notification(_) | Message::Request(_)) | Err(_) => None,
    }
}

/// Whether this is an answer to such a question at all.
fn answers(method: Method, said: Node<'_>) -> bool {
    let has = |name: &str, kind| said.get(name).is_some_and(|member| member.kind() == kind);
    let fits = (method == Method::ElicitationCreate && has("action", Kind::String))
        || (method == Method::RootsList && has("roots", Kind::Array))
        || (method == Method::SamplingCreateMessage
            && has("role", Kind::String)
            && said.get("content").is_some());
    fits && said.kind() == Kind::Object
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Relay({} open)", self.desk.borrow().open.len())
    }
}

impl Exchange for Relay {
    fn admitted(&self, _: &Caller) {}

    fn caller(&self) -> Option<Caller> {
        self.party().0.clone()
    }

    fn session(&self) -> Option<Arc<str>> {
        None
    }

    fn deliver(&self, message: Vec<u8>) -> Boxed<'_, ()> {
        let now = self.desk.borrow().exchange.clone();
        Box::pin(async move {
            if let Some(now) = now {
                now.deliver(message).await;
            }
        })
    }

    fn withdrawn(&self) -> Boxed<'_, ()> {
        Box::pin(async move {
            let mut changes = self.desk.subscribe();
            loop {
                let Some(now) = changes.borrow_and_update().exchange.clone() else {
                    return;
                };
                tokio::select! {
                    () = now.withdrawn() => return,
                    changed = changes.changed() => if changed.is_err() { return },
                }
            }
        })
    }

    fn asks(&self) -> Option<&dyn Asks> {
        Some(self)
    }
}

impl Asks for Relay {
    fn capabilities(&self) -> Capabilities {
        self.party().1.clone()
    }

    fn log_level(&self) -> Option<LogLevel> {
        self.log_level
    }

    fn expect(&self, questions: &[Id]) {
        self.desk.send_modify(|desk| {
            desk.announced = true;
            desk.expected.extend(questions.iter().cloned());
        });
    }

    fn settled(&self, question: &Id) {
        self.desk.send_modify(|desk| {
            desk.expected.remove(question);
        });
    }

    fn ask(&self, question: Question) -> Boxed<'static, Result<Response, Objection>> {
        let (waiting, answer) = oneshot::channel();
        let held = match self.room.take(question.params.len()) {
            Ok(held) => held,
            Err(objection) => {
                self.settled(&question.id);
                return Box::pin(std::future::ready(Err(objection)));
            }
        };
        let mut key = String::new();
        self.desk.send_modify(|desk| {
            desk.expected.remove(&question.id);
            desk.next += 1;
            // A server of the modern era names its questions; those of the others get a name.
            key = match &question.id {
                // None gets a name of ours: what people answer us about approvals is nothing a server may hear.
                Id::String(name) if !desk.open.contains_key(name) && !name.starts_with(OWN) => name.clone(),
                Id::Integer(_) | Id::String(_) => format!("question{}", desk.next),
            };
            let early = desk.early.remove(&key);
            let early = early.and_then(|early| response(&question, early.root().get("said")?));
            match early {
                Some(response) => drop(waiting.send(response)),
                None => drop(desk.open.insert(key.clone(), (question, waiting, held))),
            }
        });
        let gone = |_| Objection::new(&refusal::CLIENT_GONE, "it did not come back with an answer");
        let desk = self.desk.clone();
        let asker = Asker {
            answer,
            _leaves: Leaves { desk, key },
        };
        Box::pin(async move {
            // All of it: a block takes with it what it names.
            let mut asker = asker;
            (&mut asker.answer).await.map_err(gone)
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
