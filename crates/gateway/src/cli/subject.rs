//! `sallyport subject ...`: what is known of a person, and ending it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use records::ledger::{Entry, Kind, entry::rfc3339};
use wire::json::{Document, Keys, Node, ObjectWriter, object};

use super::{Common, desk, ledger, output::remark, place::Place, say, table};
use crate::{failure::Failure, visible::visible};

/// Calls whose payloads are asked for at a time.
const BATCH: usize = 4;

/// People whose data went through: what is known of them, and ending it.
#[derive(Debug, Subcommand)]
pub(crate) enum Subject {
    /// List every call that concerned a person, with what is still kept of it (GDPR Art. 15).
    Access(Access),
    /// Destroy what is kept of a person (GDPR Art. 17). The ledger's entries stay and verify.
    Erase(Erase),
    /// Keep a person's records from being erased or ending with their time, until released.
    Hold(Held),
    /// List who is held.
    Holds,
    /// End a hold.
    Release(Released),
}

/// Which person.
#[derive(Args, Debug)]
pub(crate) struct Who {
    /// An identifier: as the arguments of calls name them, or a number or address of theirs.
    id: String,
    /// In this tenant alone. All there are unless said.
    #[arg(long)]
    tenant: Option<String>,
}

/// What is known of a person.
#[derive(Args, Debug)]
pub(crate) struct Access {
    #[command(flatten)]
    who: Who,
    /// Only disclosures: permitted calls that carried data out (HIPAA 164.528).
    #[arg(long)]
    accounting: bool,
}

/// Destroy what is kept of a person.
#[derive(Args, Debug)]
pub(crate) struct Erase {
    #[command(flatten)]
    who: Who,
    /// First write what is known of them into this new file.
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// Who decided, for the record.
    #[arg(long, default_value = "operator")]
    by: String,
    /// Why, for the record.
    #[arg(long)]
    why: Option<String>,
    /// Do it. Without this, it is only said what would be done.
    #[arg(long)]
    yes: bool,
}

/// Keep a person's records.
#[derive(Args, Debug)]
pub(crate) struct Held {
    #[command(flatten)]
    who: Who,
    /// Why: the matter it is held for.
    #[arg(long)]
    why: String,
    /// Who decided.
    #[arg(long, default_value = "operator")]
    by: String,
}

/// End a hold.
#[derive(Args, Debug)]
pub(crate) struct Released {
    #[command(flatten)]
    who: Who,
    /// Why.
    #[arg(long)]
    why: Option<String>,
    /// Who decided.
    #[arg(long, default_value = "operator")]
    by: String,
}

impl Who {
    fn write(&self, out: &mut ObjectWriter<'_>) {
        out.string("id", &self.id);
        if let Some(tenant) = &self.tenant {
            out.string("tenant", tenant);
        }
    }
}

/// One call that concerned a person.
#[derive(Debug, Default)]
struct Call {
    /// The call, or the place of an entry outside any.
    id: String,
    time_ms: u64,
    entries: Vec<u64>,
    agent: Option<String>,
    user: Option<String>,
    purpose: Option<String>,
    server: Option<String>,
    tool: Option<String>,
    sink: Option<String>,
    decision: Option<&'static str>,
    code: Option<String>,
    policy: Option<String>,
    pin: Option<String>,
    /// For entries outside calls: what was done about the person.
    action: Option<String>,
    payloads: Vec<Payload>,
}

#[derive(Debug)]
struct Payload {
    part: String,
    /// None when a key of it was destroyed.
    text: Option<String>,
}

impl Subject {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        match self {
            Self::Access(access) => access.run(common),
            Self::Erase(erase) => erase.run(common),
            Self::Hold(held) => {
                desk::ask(common, "subject.hold", |out| {
                    held.who.write(out);
                    out.string("why", &held.why);
                    out.string("by", &held.by);
                })?;
                say_done(
                    common,
                    "held: nothing of it ends or is erased until it is released",
                );
                Ok(())
            }
            Self::Holds => {
                let head = ["SINCE", "TENANT", "BY", "WHY", "WHO"];
                desk::list(
                    common,
                    ("subject.holds", "holds"),
                    "nobody is held",
                    &head,
                    |one| {
                        let since = one.get("since").and_then(Node::as_number);
                        let since = since.and_then(|since| since.as_u64()).unwrap_or(0);
                        let text =
                            |name: &str| visible(&one.get(name).and_then(Node::as_str).unwrap_or_default());
                        let words = ["tenant", "by", "why", "id"].map(text);
                        std::iter::once(rfc3339(since)).chain(words).collect()
                    },
                )
            }
            Self::Release(released) => {
                desk::ask(common, "subject.release", |out| {
                    released.who.write(out);
                    out.string("by", &released.by);
                    if let Some(why) = &released.why {
                        out.string("why", why);
                    }
                })?;
                say_done(common, "released");
                Ok(())
            }
        }
    }
}

fn say_done(common: &Common, words: &str) {
    say(if common.json { "{\"ok\":true}" } else { words });
}

impl Access {
    fn run(self, common: &Common) -> Result<(), Failure> {
        let mut known = known_of(common, &self.who)?;
        // That somebody looked is a record of its own.
        let is_none = known.iter().all(|call| call.tool.is_none());
        if is_none && !Place::of(common)?.names_persons() {
            remark(
                "no tool of the configuration says where its arguments name the person (`subject` under `tools`), so \
                 calls are found by what was recognised in them alone",
            );
        }
        if self.accounting {
            known.retain(Call::is_disclosure);
        }
        if common.json {
            known
                .iter()
                .for_each(|call| say(&String::from_utf8_lossy(&call.json())));
            return Ok(());
        }
        if known.is_empty() {
            say("the ledger has no call that concerned this person");
            return Ok(());
        }
        let head = ["TIME", "WHO", "PURPOSE", "WHAT", "DECISION", "KEPT", "CALL"];
        say(&table(&head, known.iter().map(Call::row).collect()));
        Ok(())
    }
}

impl Erase {
    fn run(self, common: &Common) -> Result<(), Failure> {
        if !self.yes {
            let known = known_of(common, &self.who)?;
            let kept = known.iter().flat_map(|call| &call.payloads);
            let readable = kept.filter(|payload| payload.text.is_some()).count();
            let calls = known.len();
            return Err(Failure::configuration(format!(
                "{calls} entries and calls concern this person and will stay; {readable} payloads \
                 and all pseudonyms of theirs would be destroyed for good. Say `--yes` to do it, \
                 `--export FILE` to keep a copy"
            )));
        }
        if let Some(file) = &self.export {
            let known = known_of(common, &self.who)?;
            export(file, &known)?;
        }
        let answer = desk::ask(common, "subject.erase", |out| {
            self.who.write(out);
            out.string("by", &self.by);
            if let Some(why) = &self.why {
                out.string("why", why);
            }
        })?;
        if common.json {
            say(answer.text());
            return Ok(());
        }
        let number = |name: &str| {
            let number = answer.root().get(name).and_then(Node::as_number);
            number.and_then(|number| number.as_u64()).unwrap_or(0)
        };
        say(&format!(
            "erased: {} payloads, {} records under keys of theirs, {} pseudonyms; entry {} of the ledger says so. \
             Back-ups from before hold it as long as they have their own key ring: see docs/records.md",
            number("payloads"),
            number("records"),
            number("pseudonyms"),
            number("entry"),
        ));
        Ok(())
    }
}

/// Writes a new file that only its owner can read.
fn export(file: &Path, known: &[Call]) -> Result<(), Failure> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let refused = |error: std::io::Error| Failure::configuration(format!("{}: {error}", file.display()));
    let mut options = std::fs::OpenOptions::new();
    let mut out = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .map_err(refused)?;
    for call in known {
        out.write_all(&call.json())
            .and_then(|()| out.write_all(b"\n"))
            .map_err(refused)?;
    }
    out.sync_all().map_err(refused)
}

/// Everything the ledger and the payloads say of a person, by call.
fn known_of(common: &Common, who: &Who) -> Result<Vec<Call>, Failure> {
    let answer = desk::ask(common, "subject.find", |out| who.write(out))?;
    let digests = answer.root().get("digests").into_iter().flat_map(Node::elements);
    let digests: BTreeSet<String> = digests
        .filter_map(|one| Some(one.as_str()?.into_owned()))
        .collect();
    let reader = ledger::settled(common)?;
    let concerned = |entry: &Entry| entry.subjects.iter().any(|subject| digests.contains(subject));
    let mut calls: BTreeMap<String, Call> = BTreeMap::new();
    let mut order = Vec::new();
    ledger::each(&reader, 0, None, |stored| {
        let Ok(entry) = Entry::read(&stored.bytes) else {
            return;
        };
        // What is found in the result concerns the whole call, whose first entries came before it was known.
        if !concerned(&entry) {
            return;
        }
        let id = entry
            .call
            .clone()
            .unwrap_or_else(|| format!("entry {}", stored.index));
        let call = calls.entry(id.clone()).or_insert_with(|| {
            order.push(id.clone());
            Call {
                id,
                ..Call::default()
            }
        });
        call.add(stored.index, entry);
    })?;
    let mut known: Vec<Call> = order.iter().filter_map(|id| calls.remove(id)).collect();
    add_payloads(common, &mut known)?;
    Ok(known)
}

fn add_payloads(common: &Common, known: &mut [Call]) -> Result<(), Failure> {
    let real = known.iter_mut().filter(|call| call.action.is_none());
    let mut by_id: BTreeMap<String, &mut Call> = real.map(|call| (call.id.clone(), call)).collect();
    let ids: Vec<String> = by_id.keys().cloned().collect();
    for batch in ids.chunks(BATCH) {
        let answer = desk::ask(common, "subject.payloads", |out| {
            out.array("calls", |list| batch.iter().for_each(|call| list.string(call)));
        })?;
        for one in answer.root().get("payloads").into_iter().flat_map(Node::elements) {
            let text = |name: &str| Some(one.get(name)?.as_str()?.into_owned());
            let payload = text("part").map(|part| Payload {
                part,
                text: text("text"),
            });
            if let Some(call) = text("call").and_then(|call| by_id.get_mut(&call)) {
                call.payloads.extend(payload);
            }
        }
    }
    Ok(())
}

impl Call {
    fn add(&mut self, index: u64, entry: Entry) {
        if self.entries.is_empty() {
            self.time_ms = entry.time_ms;
        }
        self.entries.push(index);
        let sink = entry.text("sink").map(str::to_owned);
        self.sink = sink.or(self.sink.take());
        self.action = entry.action.filter(|_| entry.kind == Kind::Subject);
        self.agent = entry.principal.agent.or(self.agent.take());
        self.user = entry.principal.user.or(self.user.take());
        self.purpose = entry.purpose.or(self.purpose.take());
        self.server = entry.server.or(self.server.take());
        self.tool = entry.tool.or(self.tool.take());
        self.decision = entry
            .decision
            .map(records::ledger::Decision::as_str)
            .or(self.decision);
        self.code = entry.code.or(self.code.take());
        self.policy = entry.policy.or(self.policy.take());
        self.pin = entry.pin.or(self.pin.take());
    }

    /// Whether data of the person was carried out by it.
    fn is_disclosure(&self) -> bool {
        let out = self
            .sink
            .as_deref()
            .is_some_and(|sink| matches!(sink, "egress" | "unknown"));
        out && self.decision == Some("permit")
    }

    fn json(&self) -> Vec<u8> {
        object(|out| {
            out.string("call", &self.id);
            out.string("time", &rfc3339(self.time_ms));
            for (name, text) in [
                ("action", self.action.as_deref()),
                ("agent", self.agent.as_deref()),
                ("user", self.user.as_deref()),
                ("purpose", self.purpose.as_deref()),
                ("server", self.server.as_deref()),
                ("tool", self.tool.as_deref()),
                ("sink", self.sink.as_deref()),
                ("decision", self.decision),
                ("code", self.code.as_deref()),
                ("policy", self.policy.as_deref()),
                ("pin", self.pin.as_deref()),
            ] {
                if let Some(text) = text {
                    out.string(name, text);
                }
            }
            out.array("entries", |list| {
                self.entries
                    .iter()
                    .for_each(|index| list.json(index.to_string().as_bytes()));
            });
            out.array("payloads", |list| {
                for payload in &self.payloads {
                    list.object(|out| {
                        out.string("part", &payload.part);
                        match payload.text.as_deref().and_then(value) {
                            Some(value) => out.json("value", value.root().written().as_bytes()),
                            None => out.boolean("erased", true),
                        }
                    });
                }
            });
        })
    }

    fn row(&self) -> Vec<String> {
        let who: Vec<&str> = [&self.agent, &self.user]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        let what: Vec<&str> = [&self.server, &self.tool, &self.action]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        let kept: Vec<&str> = self
            .payloads
            .iter()
            .filter(|payload| payload.text.is_some())
            .map(|payload| payload.part.as_str())
            .collect();
        [
            rfc3339(self.time_ms),
            who.join(" for "),
            self.purpose.clone().unwrap_or_default(),
            what.join(" "),
            self.decision.unwrap_or_default().to_owned(),
            kept.join(" "),
            self.id.clone(),
        ]
        .iter()
        .map(|cell| visible(cell))
        .collect()
    }
}

fn value(text: &str) -> Option<Document> {
    Document::parse(text.as_bytes().to_vec(), Keys::Exact, &wire::bounds::ANSWER).ok()
}
