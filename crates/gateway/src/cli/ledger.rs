//! `sallyport ledger ...`: evidence.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{Args, Subcommand};
use records::{
    disk::RealDisk,
    ledger::{Reader, Stored, entry::export, note::VerifierKey},
    verify::{Report, Request, Witnesses, is_ledger, verify},
};
use wire::json::{Document, Keys, Node, object};

use super::{Common, desk, output::say_exactly, place::Place, say, table, tell};
use crate::{
    evidence::events::{Format, lines},
    failure::Failure,
    operate::admin::control,
    storage::vault::keys_of,
    visible::visible,
};

/// Entries read at a time.
const PAGE: usize = 256;

/// The ledger: what happened, and the proof of it.
#[derive(Debug, Subcommand)]
pub(crate) enum Ledger {
    /// Print all entries, one a line.
    Export(Range),
    /// Print the receipt (tlog-proof) of an entry.
    Prove(Prove),
    /// Print the entries of one call.
    Show(Show),
    /// Print the newest entries, and with --follow those to come.
    Tail(Tail),
    /// Check that nothing was changed, removed or forged since it was written.
    Verify(Verify),
    /// Print what witnesses signed of it.
    Witnesses,
}

/// Which entries.
#[derive(Args, Debug)]
pub(crate) struct Range {
    /// The first entry.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// One past the last entry.
    #[arg(long)]
    to: Option<u64>,
    /// jsonl, ocsf, cef or otlp.
    #[arg(long, default_value = "jsonl")]
    format: String,
}

/// An entry.
#[derive(Args, Debug)]
pub(crate) struct Prove {
    /// Its index.
    index: u64,
    /// Print the entry as it is stored, which the receipt is about, instead of the receipt.
    #[arg(long)]
    entry: bool,
    /// Fail rather than print a receipt that the ledger alone has signed. One that witnesses signed, too, is printed
    /// wherever there is one.
    #[arg(long, conflicts_with = "entry")]
    witnessed: bool,
}

/// A call.
#[derive(Args, Debug)]
pub(crate) struct Show {
    /// Its reference, as refusals show it.
    call: String,
}

/// The newest entries.
#[derive(Args, Debug)]
pub(crate) struct Tail {
    /// How many.
    #[arg(short = 'n', long, default_value_t = 10)]
    lines: u64,
    /// Go on with those to come.
    #[arg(short, long)]
    follow: bool,
}

/// Check the ledger.
#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// The ledger's directory or a copy of it; the gateway's own unless given.
    directory: Option<PathBuf>,
    /// A checkpoint seen before; the ledger must continue it.
    #[arg(long, value_name = "FILE")]
    older: Vec<PathBuf>,
    /// A file of witnesses' keys, one a line, as `sallyport-verify` takes it. Unless said: the witnesses of the
    /// configuration, for the gateway's own ledger; a copy is not asked who signed it.
    #[arg(long, value_name = "FILE")]
    witness: Vec<PathBuf>,
    /// How many of these witnesses must have signed; all unless said.
    #[arg(long, requires = "witness")]
    quorum: Option<usize>,
}

impl Ledger {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        match self {
            Self::Verify(verify) => verify.run(common),
            Self::Export(range) => range.run(common),
            Self::Prove(prove) if prove.entry => {
                let reader = settled(common)?;
                let page = reader.page(prove.index..prove.index.saturating_add(1), 1);
                let page = page.map_err(unreadable)?;
                let stored = page.first().ok_or_else(|| {
                    Failure::does_not_hold(format!("the ledger has no entry {}", prove.index))
                })?;
                // Not a byte more than was hashed, not even the end of a line.
                say_exactly(&stored.bytes);
                Ok(())
            }
            Self::Prove(prove) => prove.run(common),
            Self::Show(show) => show.run(common),
            Self::Tail(tail) => tail.run(common),
            Self::Witnesses => witnesses(common),
        }
    }
}

/// Who of the witnesses signed what.
fn witnesses(common: &Common) -> Result<(), Failure> {
    let answer = desk::ask(common, "status", |_| {})?;
    let Some(witness) = answer.root().get("witness") else {
        return Err(Failure::other(
            "the gateway says nothing of witnesses; it is older",
        ));
    };
    if common.json {
        say(witness.written());
        return Ok(());
    }
    let shown = |node: Node<'_>, name: &str| {
        let number = node.get(name).and_then(Node::as_number);
        let number = number.and_then(|number| number.as_u64()).map(|n| n.to_string());
        let text = || node.get(name).and_then(Node::as_str).map(|text| visible(&text));
        number.or_else(text).unwrap_or_default()
    };
    let row = |one: Node<'_>| {
        ["name", "size", "time", "trouble"]
            .map(|name| shown(one, name))
            .to_vec()
    };
    let rows: Vec<Vec<String>> = witness
        .get("witnesses")
        .into_iter()
        .flat_map(Node::elements)
        .map(row)
        .collect();
    let of = |name: &str| shown(witness, name);
    say(&format!(
        "{} of {} witnesses have to sign; {} entries are witnessed\n",
        of("quorum"),
        of("of"),
        of("size")
    ));
    if !rows.is_empty() {
        say(&table(&["WITNESS", "SIGNED", "AT", "TROUBLE"], rows));
    }
    Ok(())
}

impl Range {
    fn run(self, common: &Common) -> Result<(), Failure> {
        let format = Format::parse(&self.format).ok_or_else(|| {
            let shown = self.format.escape_debug();
            Failure::configuration(format!(
                "there is no format `{shown}`; there are jsonl, ocsf, cef and otlp"
            ))
        })?;
        let reader = settled(common)?;
        let origin = reader.head().map_err(unreadable)?.origin;
        each(&reader, self.from, self.to, |stored| {
            if format == Format::Json {
                return say(&line(stored));
            }
            for event in lines(format, &origin, stored) {
                say(&String::from_utf8_lossy(&event));
            }
        })
    }
}

impl Prove {
    fn run(&self, common: &Common) -> Result<(), Failure> {
        let reader = settled(common)?;
        let witnessed = reader.witnessed_proof(self.index).map_err(unreadable)?;
        if self.witnessed && witnessed.is_none() {
            return Err(Failure::does_not_hold(format!(
                "no checkpoint that enough witnesses signed covers entry {}; see `ledger witnesses`, and try again",
                self.index
            )));
        }
        let own = || reader.proof(self.index).map_err(unreadable);
        let proof = witnessed.map_or_else(own, Ok)?;
        let proof = proof.to_string();
        if common.json {
            let line = object(|out| {
                out.integer("index", self.index);
                out.string("proof", &proof);
            });
            say(&String::from_utf8_lossy(&line));
        } else {
            say(proof.trim_end());
        }
        Ok(())
    }
}

impl Show {
    fn run(self, common: &Common) -> Result<(), Failure> {
        let reader = settled(common)?;
        let mut found = 0;
        each(&reader, 0, None, |stored| {
            let document = Document::parse(stored.bytes.clone(), Keys::Exact, &wire::bounds::ANSWER);
            let of_call = |document: &Document| {
                document
                    .root()
                    .get("call")
                    .is_some_and(|call| call.is_str(&self.call))
            };
            if document.is_ok_and(|document| of_call(&document)) {
                found += 1;
                say(&line(stored));
            }
        })?;
        if found == 0 {
            return Err(Failure::does_not_hold(format!(
                "the ledger has no call `{}`",
                self.call
            )));
        }
        Ok(())
    }
}

impl Tail {
    fn run(self, common: &Common) -> Result<(), Failure> {
        let reader = settled(common)?;
        let mut next = reader.head().map_err(unreadable)?.size;
        each(&reader, next.saturating_sub(self.lines), Some(next), |stored| {
            say(&shown(common, stored))
        })?;
        let mut heard = Ok(());
        // With nobody to read it, there is nothing to follow for.
        while self.follow && heard.is_ok() {
            std::thread::sleep(Duration::from_millis(500));
            let size = reader.head().map_err(unreadable)?.size;
            each(&reader, next, Some(size), |stored| {
                heard = tell(&shown(common, stored))
            })?;
            next = size;
        }
        Ok(())
    }
}

impl Verify {
    fn run(self, common: &Common) -> Result<(), Failure> {
        let place = Place::of(common)?;
        let layout = place.layout()?;
        let own = keys_of(&layout)?;
        let is_own = self.directory.is_none();
        let directory = match self.directory {
            // Our own has to be there: that it is gone is a finding.
            None => layout.ledger(),
            Some(named) if is_ledger(&named) => named,
            Some(named) => {
                return Err(Failure::configuration(format!(
                    "there is no ledger in {}",
                    named.display()
                )));
            }
        };
        if self.quorum == Some(0) {
            let why = "a quorum of 0 demands nothing; leave `--witness` out";
            return Err(Failure::configuration(why));
        }
        let (mut keys, mut quorum) = (Vec::new(), self.quorum);
        for path in &self.witness {
            keys.extend(keys_in(path)?);
        }
        if is_own && keys.is_empty() {
            let witness = place.witness()?;
            keys = witness.by.iter().flat_map(|one| one.keys.clone()).collect();
            quorum = Some(witness.quorum);
        }
        let witnesses = Witnesses { keys: &keys, quorum };
        let report = check(&directory, &own, &self.older, witnesses)?;
        if common.json {
            say(&String::from_utf8_lossy(&report.to_json()));
        } else {
            say(report.to_string().trim_end());
        }
        if report.holds() {
            Ok(())
        } else {
            Err(Failure::does_not_hold("the ledger does not hold"))
        }
    }
}

/// The keys in a file, one a line.
fn keys_in(path: &Path) -> Result<Vec<VerifierKey>, Failure> {
    let wrong = |why: String| Failure::configuration(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Result<Vec<_>, _> = lines.map(VerifierKey::from_text).collect();
    let keys = keys.map_err(|error| wrong(error.to_string()))?;
    if keys.is_empty() {
        return Err(wrong("there is no key in it".to_owned()));
    }
    Ok(keys)
}

/// Verifies a ledger with this installation's keys, and with these witnesses' where there are any.
pub(super) fn check(
    directory: &Path,
    own: &records::keys::LogKeys,
    older: &[PathBuf],
    witnesses: Witnesses<'_>,
) -> Result<Report, Failure> {
    let older: Vec<(String, Vec<u8>)> = older
        .iter()
        .map(|path| {
            let read = std::fs::read(path);
            let bytes =
                read.map_err(|error| Failure::configuration(format!("{}: {error}", path.display())))?;
            Ok((path.display().to_string(), bytes))
        })
        .collect::<Result<_, Failure>>()?;
    let known = own.known();
    let request = Request {
        dir: directory,
        known: &known,
        witnesses,
        older: &older,
        own: Some(own),
    };
    Ok(verify(Arc::new(RealDisk), &request))
}

/// A reader that sees everything written so far: the running gateway is asked to publish it; a gateway that
/// was killed is recovered first.
pub(super) fn settled(common: &Common) -> Result<Reader, Failure> {
    let place = Place::of(common)?;
    let layout = place.files();
    let reader = Reader::new(Arc::new(RealDisk), &layout.ledger());
    let asked = super::block_on(async { control::ask(&layout.control(), "ledger.settle", b"{}").await })?;
    if asked.is_none() && layout.ledger().join("checkpoint").exists() && !was_closed(&reader) {
        desk::ask_at(&place, common, "status", |_| {})?;
    }
    Ok(reader)
}

/// Whether the last published entry says that the ledger was closed: then nothing follows it.
fn was_closed(reader: &Reader) -> bool {
    let Some(last) = reader.head().ok().and_then(|head| head.size.checked_sub(1)) else {
        return false;
    };
    let Ok(page) = reader.page(last..last + 1, 1) else {
        return false;
    };
    page.first().is_some_and(|stored| {
        let document = Document::parse(stored.bytes.clone(), Keys::Exact, &wire::bounds::ANSWER);
        document.is_ok_and(|document| {
            let is = |name: &str, text: &str| document.root().get(name).is_some_and(|node| node.is_str(text));
            is("kind", "shard") && is("code", "close")
        })
    })
}

/// Reads entries page by page.
pub(super) fn each(
    reader: &Reader,
    from: u64,
    to: Option<u64>,
    mut take: impl FnMut(&Stored),
) -> Result<(), Failure> {
    let end = match to {
        Some(to) => to.min(reader.head().map_err(unreadable)?.size),
        None => reader.head().map_err(unreadable)?.size,
    };
    let mut next = from;
    while next < end {
        let page = reader.page(next..end, PAGE).map_err(unreadable)?;
        let Some(last) = page.last() else { break };
        next = last.index + 1;
        page.iter().for_each(&mut take);
    }
    Ok(())
}

/// An entry as it is exported.
pub(super) fn line(stored: &Stored) -> String {
    let exported = export(stored.index, &stored.bytes);
    exported.map_or_else(
        |error| format!("{{\"index\":{},\"error\":\"{error}\"}}", stored.index),
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    )
}

/// An entry for people, unless machines asked.
fn shown(common: &Common, stored: &Stored) -> String {
    let line = line(stored);
    if common.json {
        return line;
    }
    let Ok(document) = Document::parse(line.clone().into_bytes(), Keys::Exact, &wire::bounds::ANSWER) else {
        return line;
    };
    let root = document.root();
    let text = |name: &str| {
        root.get(name)
            .and_then(Node::as_str)
            .unwrap_or_default()
            .into_owned()
    };
    let who = root
        .get("principal")
        .and_then(|p| p.get("agent").or_else(|| p.get("user")))
        .and_then(Node::as_str);
    let mut about = vec![text("server"), text("tool"), text("reason")];
    // What is no call says in two places what it is: what was done, and with what.
    if root.get("call").is_none() {
        about.insert(0, text("action"));
        let detail = root.get("detail").into_iter().flat_map(Node::members);
        about.extend(detail.map(|(name, value)| format!("{}={}", said(name), visible(&said(value)))));
    }
    about.retain(|text| !text.is_empty());
    format!(
        "{:>6} {} {:<10} {:<7} {:<18} {} {}",
        stored.index,
        text("time"),
        text("kind"),
        text("decision"),
        text("code"),
        who.unwrap_or_default(),
        about.join(" ")
    )
}

/// A name or a value of an entry's detail.
fn said(value: Node<'_>) -> String {
    value
        .as_str()
        .map_or_else(|| value.written().to_owned(), |text| text.into_owned())
}

fn unreadable(error: records::ledger::ReadError) -> Failure {
    Failure::does_not_hold(format!("the ledger cannot be read: {error}"))
}
