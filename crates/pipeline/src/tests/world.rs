//! A world in which every port works, waits once, keeps a log, and fails where it is told to.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context as TaskContext, Poll},
};

use identity::{Local as LocalIdentity, LocalPeer};
use policy::{
    Action, Context, Decision, Facts, Obligation, Party, PartyKind, Resource, Subject,
    registry::{Definition, ItemKind, Launch, Manifest, Offer, OnNew, Pin as ToolPin, Registry, Server},
    rules::{Discovery, RuleSet, RuleSource},
};
use wire::{
    bounds::REQUEST,
    json::{Edits, Keys},
    jsonrpc::Message,
    mcp::{Direction, Era, Revision, ServerName},
};

use crate::{
    Answer, Arrival, CallId, Capabilities, Credential, Endpoint, Entry, Known, Listing, Objection, Passed,
    Ready, Received, Refusal, Reply, Resolution, Via,
    admit::Declared,
    decide::{Approved, Authorized, Inspected, Limited, Resolved},
    dossier::Dossier,
    forward::Recorded,
    ports::{self, Caller, Inspection, Nobody, Slot, Stranger},
    refusal,
    release::{Filtered, Screened},
};

/// The ports a permitted tool call passes, in order.
pub(super) const PORTS: [&str; 18] = [
    "identify",
    "enter",
    "purpose",
    "resolve",
    "inspect",
    "decide",
    "take",
    "consult",
    "approve",
    "heed",
    "intent",
    "confirm",
    "reveal",
    "send",
    "screen",
    "absorb",
    "redact",
    "reconsider",
];

pub(super) fn position(port: &str) -> usize {
    PORTS.iter().position(|name| *name == port).expect(port)
}

pub(super) fn rules(text: &str) -> RuleSet {
    // Release is judged, too; these tests are about the call.
    let release = "@id(\"release\") permit(principal, action == Action::\"release\", resource);";
    let source = |name: &str, text: &str| RuleSource {
        name: name.into(),
        text: text.into(),
    };
    RuleSet::parse(&[source("test", text), source("release", release)]).expect(text)
}

pub(super) struct World {
    pub(super) fail_at: Option<usize>,
    /// A port that fails which no tool call passes.
    pub(super) fails: Option<&'static str>,
    /// The message is a server's to its client.
    pub(super) is_for_client: bool,
    pub(super) outcome_fails: bool,
    pub(super) rules: RuleSet,
    pub(super) log: Arc<Mutex<Vec<String>>>,
    pub(super) known: Arc<Mutex<Option<Known>>>,
    pub(super) detached: Mutex<Vec<Arc<Mutex<Work>>>>,
    pub(super) registry: Registry,
}

impl World {
    /// Everything is permitted, under an obligation so that people are asked.
    pub(super) fn permitting() -> Self {
        let name = ServerName::parse("files").expect("a name");
        let launch = Launch {
            pin: ToolPin::of_bytes(b"files"),
            shown: "files".into(),
        };
        let mut server = Server::proposed(name, launch, Manifest::unknown());
        server.approve().expect("proposed");
        let read = Definition::parse(br#"{"name":"read","inputSchema":{"type":"object"}}"#.to_vec())
            .expect("a tool");
        server.observe(
            Offer {
                items: vec![(ItemKind::Tool, read)],
                ..Offer::default()
            },
            OnNew::Approve,
        );
        Self {
            fail_at: None,
            fails: None,
            is_for_client: false,
            outcome_fails: false,
            rules: rules(
                "@approve(\"role:owner 1\") @judge(\"intent content\") permit(principal, action == Action::\"invoke\", resource);",
            ),
            log: Arc::default(),
            known: Arc::default(),
            detached: Mutex::default(),
            registry: Registry::new([server]),
        }
    }

    pub(super) fn log(&self) -> Vec<String> {
        self.log.lock().expect("one thread").clone()
    }

    pub(super) fn known(&self) -> Known {
        self.known
            .lock()
            .expect("one thread")
            .clone()
            .expect("an outcome")
    }

    pub(super) fn run_detached(&self) {
        for work in self.detached.lock().expect("one thread").iter() {
            super::run(std::future::poll_fn(|cx| {
                work.lock().expect("one thread").poll(cx)
            }));
        }
    }

    fn port(&self, name: &str) -> Result<(), Objection> {
        let mut log = self.log.lock().expect("one thread");
        log.push(name.to_owned());
        let is_last = self.fail_at.is_some_and(|at| PORTS.get(at) == Some(&name));
        if is_last || self.fails == Some(name) {
            return Err(Objection::new(&refusal::INTERNAL, name));
        }
        Ok(())
    }
}

/// Waits once, so that a future can be dropped here.
async fn wait() {
    let mut waited = false;
    std::future::poll_fn(|_| {
        if std::mem::replace(&mut waited, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

pub(super) fn arrival() -> Arrival {
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call",
        "params":{"name":"files__read","arguments":{"path":"/etc"}}}"#;
    Arrival {
        call: CallId("c1".into()),
        direction: Direction::ToServer,
        revision: Revision::V2025_11_25,
        endpoint: Endpoint::All,
        message: Message::parse(text.into(), Keys::Folded, &REQUEST).expect("a message"),
        credential: Credential::Local(LocalPeer::Pipe),
        via: Via {
            transport: "stdio",
            ..Via::default()
        },
        session: None,
        capabilities: Capabilities::default(),
        exchange: Arc::new(Nobody),
        received_ms: 0,
    }
}

impl ports::Identify for World {
    async fn identify(&self, arrival: &Arrival) -> Result<Caller, Objection> {
        wait().await;
        self.port("identify")?;
        let Credential::Local(peer) = &arrival.credential else {
            panic!("local")
        };
        let principal = LocalIdentity::as_user("owner".into())
            .admit(peer, 0)
            .expect("local");
        let actor = Party {
            kind: PartyKind::User,
            name: "owner".into(),
            roles: vec!["owner".into()],
            groups: Vec::new(),
            tenant: None,
            attributes: Default::default(),
        };
        let subject = Subject {
            actor,
            for_user: None,
        };
        Ok(Caller {
            principal: Arc::new(principal),
            subject: Arc::new(subject),
        })
    }
}

impl ports::Contexts for World {
    fn enter(&self, _: &Caller, _: &Arrival) -> Result<Arc<Context>, Objection> {
        self.port("enter")?;
        Ok(Arc::new(Context::new("x".into(), None)))
    }

    fn absorb(&self, _: &Passed<Screened>) -> Result<(), Objection> {
        self.port("absorb")
    }

    fn overhear(&self, _: &Passed<Recorded>) -> Result<(), Objection> {
        self.port("overhear")
    }

    fn browse(&self, _: &Ready<Filtered>, _: &[ports::Browsed<'_>]) -> Result<(), Objection> {
        self.port("browse")
    }
}

impl ports::Purposes for World {
    fn purpose(&self, _: &Ready<Declared>) -> Result<Option<Arc<str>>, Objection> {
        self.port("purpose").map(|()| None)
    }
}

impl ports::Resolve for World {
    fn resolve(&self, _: &Ready<Resolved>) -> Result<Resolution, ports::Unfound> {
        self.port("resolve")
            .map_err(|objection| ports::Unfound::Nothing(Box::new(objection)))?;
        let item = self
            .registry
            .federated(ItemKind::Tool, "files__read", None)
            .expect("approved");
        let server = self.registry.pinned_server(item.server()).expect("approved");
        if self.is_for_client {
            return Ok(Resolution::Client { server });
        }
        Ok(Resolution::Item { server, item })
    }
}

impl ports::Inspect for World {
    fn inspect(&self, _: &Ready<Inspected>) -> Inspection {
        let failed = self.port("inspect").is_err();
        let mut inspection = Inspection::default();
        if failed {
            let message = Message::parse(
                br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.to_vec(),
                Keys::Exact,
                &REQUEST,
            );
            let message = message.expect("a message");
            let schema = inspect::Finding {
                kind: inspect::FindingKind::Schema,
                detector: "schema/test".into(),
                location: inspect::Location {
                    pointer: Default::default(),
                    part: inspect::Part::Value,
                    place: message.document().root().place(),
                    span: 0..0,
                },
                score: inspect::Score::CERTAIN,
                note: "does not fit".into(),
            };
            inspection.findings = inspect::Findings::new(vec![schema]);
        }
        inspection
    }

    fn reveal(&self, _: &Passed<Approved>) -> Result<ports::Revealed, Objection> {
        self.port("reveal").map(|()| ports::Revealed::default())
    }

    fn veil(&self, _: &Passed<Approved>) -> Result<Edits, Objection> {
        Ok(Edits::default())
    }

    fn screen(&self, _: &Ready<Screened>) -> Inspection {
        let _ = self.port("screen");
        Inspection::default()
    }

    fn release_entry(
        &self,
        _: &Passed<Screened>,
        entry: &Entry,
        demanded: &dyn Fn(&inspect::Findings) -> Option<Vec<Obligation>>,
    ) -> Option<Arc<[u8]>> {
        demanded(&inspect::Findings::default())?;
        Some(Arc::clone(&entry.shown))
    }

    fn redact(&self, _: &Passed<Screened>, _: &[Obligation]) -> Result<Edits, Objection> {
        self.port("redact").map(|()| Edits::default())
    }
}

impl ports::Rules for World {
    fn decide(
        &self,
        subject: &Subject,
        action: Action,
        resource: &Resource,
        facts: &Facts<'_>,
    ) -> ports::Judged {
        // A release is judged between `absorb` and `redact`; it fails with `screen`, which cannot by itself.
        let fails = if action == Action::Release {
            self.fail_at == Some(position("screen"))
        } else {
            self.port("decide").is_err()
        };
        ports::Judged {
            decision: if fails {
                Decision::Refuse(Default::default())
            } else {
                self.rules.decide(subject, action, resource, facts)
            },
            by: "sha256:test".into(),
        }
    }

    fn could_permit(
        &self,
        subject: &Subject,
        action: Action,
        resource: &Resource,
        facts: &Facts<'_>,
    ) -> Discovery {
        self.rules.could_permit(subject, action, resource, facts)
    }

    fn could_permit_each(
        &self,
        subject: &Subject,
        resources: &[Arc<Resource>],
        facts: &Facts<'_>,
    ) -> Arc<[Discovery]> {
        let resources = resources.iter().map(AsRef::as_ref);
        let found = self
            .rules
            .could_permit_each(subject, Action::Discover, resources, facts);
        Arc::from(found)
    }

    fn observe(&self, _: &Subject, _: Action, _: &Resource, _: &Facts<'_>) -> Option<policy::Permit> {
        None
    }
}

/// A place that counts nothing.
#[derive(Debug)]
struct Place;

impl ports::Held for Place {
    fn charge(&self, _: u64, _: Option<wire::model::Tokens>) {}
}

impl ports::Limits for World {
    async fn take(&self, _: &Passed<Authorized>) -> Result<Slot, Objection> {
        self.port("take").map(|()| Slot(Box::new(Place)))
    }
}

impl ports::Approvals for World {
    async fn approve(&self, _: &Passed<Limited>) -> Result<(), Objection> {
        wait().await;
        self.port("approve")
    }
}

impl ports::Halts for World {
    fn heed(&self, _: &Passed<Approved>) -> Result<(), Objection> {
        self.port("heed")
    }
}

impl ports::Judges for World {
    async fn consult(&self, _: &Passed<Limited>) -> Result<(), Objection> {
        wait().await;
        self.port("consult")
    }

    async fn reconsider(&self, _: &Passed<Filtered>) -> Result<(), Objection> {
        wait().await;
        self.port("reconsider")
    }
}

impl ports::Upstream for World {
    async fn confirm(&self, _: &Passed<Approved>) -> Result<(), Objection> {
        wait().await;
        self.port("confirm")
    }

    async fn send(&self, call: &Passed<Recorded>) -> Result<Answer, Objection> {
        wait().await;
        assert_eq!(
            call.ledger_index(),
            Some(7),
            "nothing is sent without its place in the ledger"
        );
        self.port("send")?;
        let text = br#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#.to_vec();
        match Message::parse(text, Keys::Exact, &REQUEST) {
            Ok(Message::Response(response)) => Ok(Answer::Foreign(Arc::new(response), Era::Legacy)),
            other => panic!("{other:?}"),
        }
    }
}

impl ports::Clients for World {
    fn hears(&self, _: &Passed<Recorded>) -> Result<ports::Hearing, Objection> {
        self.port("hears")?;
        Ok(ports::Hearing::Told)
    }

    async fn deliver(&self, _: &Passed<Recorded>) -> Result<Answer, Objection> {
        self.port("deliver").map(|()| Answer::Accepted)
    }
}

impl ports::Models for World {
    async fn complete(&self, _: &Passed<Recorded>) -> Result<Answer, Objection> {
        panic!("a tool call is not for a model")
    }
}

impl ports::Local for World {
    fn cursor(&self, _: &Ready<Filtered>, _: &Listing, _: &Entry) -> String {
        panic!("a tool call has no list")
    }

    async fn answer(&self, _: &Passed<Recorded>) -> Result<Answer, Objection> {
        panic!("a tool call is not for the gateway")
    }
}

pub(super) type Work = Pin<Box<dyn Future<Output = Result<Reply, Refusal>> + Send>>;
pub(super) trait Poller {
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<()>;
}
impl Poller for Work {
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        self.as_mut().poll(cx).map(|_| ())
    }
}

impl ports::Tasks for World {
    async fn detach(&self, work: Work) -> Result<Reply, Refusal> {
        let work: Arc<Mutex<Work>> = Arc::new(Mutex::new(work));
        self.detached.lock().expect("one thread").push(Arc::clone(&work));
        let result = std::future::poll_fn(|cx| work.lock().expect("one thread").as_mut().poll(cx)).await;
        self.detached.lock().expect("one thread").clear();
        result
    }
}

pub(super) struct Open {
    log: Arc<Mutex<Vec<String>>>,
    dossier: Arc<Dossier>,
    known: Arc<Mutex<Option<Known>>>,
    outcome_fails: bool,
    closed: bool,
}

impl Open {
    fn note(&mut self, outcome: String) {
        self.closed = true;
        self.log.lock().expect("one thread").push(outcome);
        *self.known.lock().expect("one thread") = Some(self.dossier.take());
    }
}

impl ports::Case for Open {
    async fn close(mut self, outcome: Result<Reply, Refusal>) -> Result<Reply, Refusal> {
        self.note(match &outcome {
            Ok(_) => "outcome: answered".into(),
            Err(refusal) => format!("outcome: refused by {}", refusal.stage()),
        });
        if self.outcome_fails {
            return Err(Refusal::at_the_end(Objection::new(
                &refusal::LEDGER_UNAVAILABLE,
                "disk full",
            )));
        }
        outcome
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.closed {
            self.note("outcome: abandoned".into());
        }
    }
}

impl ports::Ledger for World {
    type Case = Open;

    fn open_case(&self, call: &Received) -> Open {
        Open {
            log: Arc::clone(&self.log),
            dossier: Arc::clone(call.dossier()),
            known: Arc::clone(&self.known),
            outcome_fails: self.outcome_fails,
            closed: false,
        }
    }

    async fn intent(&self, _: &Passed<Approved>) -> Result<u64, Objection> {
        wait().await;
        self.port("intent").map(|()| 7)
    }

    async fn turn_away(&self, _: Stranger, refusal: Refusal) -> Refusal {
        refusal
    }
}
