//! `sallyport report ...`: what the ledger shows about the controls of a law or standard: counts over its entries,
//! samples with their proofs, and what it cannot show. Signed with the ledger's keys.

mod chart;
mod controls;
mod html;
mod span;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use clap::Args;
use records::{
    digest::hex,
    dsse::{self, IN_TOTO},
    ledger::{Entry, Kind, Reader, entry::rfc3339},
    verify::REPORT_TYPE,
};
use wire::json::{ObjectWriter, object};

use self::controls::{Control, FRAMEWORKS, Framework};
use super::{
    Common, ledger,
    place::{Place, without_secrets},
    say, table,
};
use crate::{failure::Failure, storage::vault::keys_of};

/// Entries shown with their proof for each control.
const SAMPLES: usize = 2;
/// Rows of the register.
const ROWS_MAX: usize = 500;

/// What the ledger shows about the controls of a law or standard.
#[derive(Args, Debug)]
pub(crate) struct Report {
    /// gdpr, hipaa, soc2, iso27001 or eu-ai-act.
    name: String,
    /// From this day or moment on: 2026-11-01 or 2026-11-01T08:00:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Until before this day or moment.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Write it for people into this file, a page that needs nothing else.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// What was found about a control.
struct Found<'c> {
    control: &'c Control,
    counts: Vec<u64>,
    samples: Vec<Sample>,
}

impl Found<'_> {
    /// What may be said; never more than that.
    fn result(&self) -> &'static str {
        if self.counts.iter().any(|count| *count > 0) {
            "evidence"
        } else {
            "no evidence"
        }
    }
}

/// An entry and its proof.
struct Sample {
    index: u64,
    entry: Vec<u8>,
    proof: String,
}

/// Processing for one purpose (Art. 30).
#[derive(Default)]
struct Processing {
    calls: u64,
    recipients: BTreeSet<String>,
    categories: BTreeSet<String>,
    agents: BTreeSet<String>,
    disclosures: u64,
}

/// Everything a report says.
struct Findings<'c> {
    framework: &'c Framework,
    origin: String,
    size: u64,
    root: String,
    checkpoint: String,
    since_ms: u64,
    until_ms: u64,
    made_ms: u64,
    oldest_ms: Option<u64>,
    entries: u64,
    controls: Vec<Found<'c>>,
    timeline: chart::Timeline,
    kinds: BTreeMap<String, u64>,
    register: BTreeMap<String, Processing>,
    settings: Vec<(&'static str, String)>,
}

impl Report {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        let framework = FRAMEWORKS.iter().find(|framework| framework.name == self.name);
        let framework = framework.ok_or_else(|| {
            let names: Vec<&str> = FRAMEWORKS.iter().map(|framework| framework.name).collect();
            Failure::configuration(format!(
                "there is no report `{}`; there are {}",
                self.name,
                names.join(", ")
            ))
        })?;
        let moment = |text: &Option<String>| text.as_deref().map(span::moment).transpose();
        let since_ms = moment(&self.since)?.unwrap_or(0);
        let until_ms = moment(&self.until)?.unwrap_or(u64::MAX);
        if since_ms > until_ms {
            let why = "`--since` is later than `--until`; nothing lies between";
            return Err(Failure::configuration(why));
        }
        let findings = gather(common, framework, since_ms, until_ms)?;
        let keys = keys_of(&Place::of(common)?.layout()?)?;
        let envelope = dsse::sign(IN_TOTO, &findings.statement(), &keys)
            .map_err(|error| Failure::other(error.to_string()))?;
        if let Some(file) = &self.html {
            write_new(file, html::page(&findings, &envelope).as_bytes())?;
        }
        if common.json {
            say(&String::from_utf8_lossy(&envelope));
        } else {
            say(&findings.words());
        }
        Ok(())
    }
}

fn write_new(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = std::fs::write(file, bytes);
    written.map_err(|error| Failure::configuration(format!("{}: {error}", file.display())))
}

/// Reads the ledger once and counts.
fn gather<'c>(
    common: &Common,
    framework: &'c Framework,
    since_ms: u64,
    until_ms: u64,
) -> Result<Findings<'c>, Failure> {
    let meant = without_secrets(common)?;
    let reader = ledger::settled(common)?;
    let unreadable = |error: records::ledger::ReadError| Failure::does_not_hold(error.to_string());
    let head = reader.head().map_err(unreadable)?;
    let on = |is: bool| if is { "on" } else { "off" }.to_owned();
    let days = meant.payloads.retention_ms / (24 * 3600 * 1000);
    let mut findings = Findings {
        framework,
        origin: head.origin.clone(),
        size: head.size,
        root: hex(&head.root),
        checkpoint: reader.checkpoint().map_err(unreadable)?,
        since_ms,
        until_ms,
        made_ms: crate::ambient::Ambient::system().now_ms().try_into().unwrap_or(0),
        oldest_ms: None,
        entries: 0,
        controls: Vec::new(),
        timeline: chart::Timeline::default(),
        kinds: BTreeMap::new(),
        register: BTreeMap::new(),
        settings: vec![
            ("mode", format!("{:?}", meant.mode).to_lowercase()),
            ("tls of the listener", on(meant.door.tls.is_some())),
            ("payloads kept", on(meant.payloads.on)),
            ("payloads kept for", format!("{days} days")),
        ],
    };
    count(&mut findings, &reader)?;
    Ok(findings)
}

/// Counts what each control asks for, and picks the first and the last entry that counted.
fn count(findings: &mut Findings<'_>, reader: &Reader) -> Result<(), Failure> {
    let (framework, size) = (findings.framework, findings.size);
    let (since_ms, until_ms) = (findings.since_ms, findings.until_ms);
    let mut counts: Vec<Vec<u64>> = framework
        .controls
        .iter()
        .map(|c| vec![0; c.measures.len()])
        .collect();
    let mut samples: Vec<Vec<u64>> = framework.controls.iter().map(|_| Vec::new()).collect();
    ledger::each(reader, 0, Some(size), |stored| {
        let Ok(entry) = Entry::read(&stored.bytes) else {
            return;
        };
        findings.oldest_ms.get_or_insert(entry.time_ms);
        if !(since_ms..until_ms).contains(&entry.time_ms) {
            return;
        }
        findings.take(&entry);
        for ((control, counts), samples) in framework.controls.iter().zip(&mut counts).zip(&mut samples) {
            let mut counted = false;
            for (measure, count) in control.measures.iter().zip(counts) {
                let counts = (measure.counts)(&entry);
                *count += u64::from(counts);
                counted |= counts;
            }
            if counted {
                // The first and the last one.
                samples.truncate(SAMPLES - 1);
                samples.push(stored.index);
            }
        }
    })?;
    for ((control, counts), samples) in framework.controls.iter().zip(counts).zip(samples) {
        findings.controls.push(Found {
            control,
            counts,
            samples: samples
                .iter()
                .map(|index| sample(reader, *index))
                .collect::<Result<_, _>>()?,
        });
    }
    Ok(())
}

fn sample(reader: &Reader, index: u64) -> Result<Sample, Failure> {
    let unreadable = |error: records::ledger::ReadError| Failure::does_not_hold(error.to_string());
    let page = reader.page(index..index + 1, 1).map_err(unreadable)?;
    let stored = page.into_iter().next();
    let stored = stored.ok_or_else(|| Failure::does_not_hold(format!("entry {index} is gone")))?;
    let own = || reader.proof(index);
    let proof = reader
        .witnessed_proof(index)
        .and_then(|witnessed| witnessed.map_or_else(own, Ok));
    Ok(Sample {
        index,
        entry: stored.bytes,
        proof: proof.map_err(unreadable)?.to_string(),
    })
}

impl Findings<'_> {
    /// Counts what does not belong to one control.
    fn take(&mut self, entry: &Entry) {
        self.entries += 1;
        let Some(decision) = entry.decision else {
            return;
        };
        if entry.kind.ends_call() {
            self.timeline.count(entry.time_ms, decision);
            let kinds: BTreeSet<&str> = entry
                .findings
                .iter()
                .map(|finding| finding.kind.as_str())
                .collect();
            for kind in kinds {
                *self.kinds.entry(kind.to_owned()).or_default() += 1;
            }
        }
        if entry.kind == Kind::Intent && self.register.len() < ROWS_MAX {
            let purpose = entry
                .purpose
                .clone()
                .unwrap_or_else(|| "(none declared)".to_owned());
            let row = self.register.entry(purpose).or_default();
            row.calls += 1;
            row.recipients.extend(entry.server.clone());
            row.categories.extend(entry.labels.categories.iter().cloned());
            row.agents.extend(entry.principal.agent.clone());
            row.disclosures += u64::from(entry.text("sink") == Some("egress"));
        }
    }

    /// The statement that is signed (in-toto version 1).
    fn statement(&self) -> Vec<u8> {
        object(|out| {
            out.string("_type", "https://in-toto.io/Statement/v1");
            out.array("subject", |list| {
                list.object(|out| {
                    out.string("name", &format!("{} at {} entries", self.origin, self.size));
                    out.object("digest", |out| out.string("sha256", &self.root));
                });
            });
            out.string("predicateType", REPORT_TYPE);
            out.object("predicate", |out| self.predicate(out));
        })
    }

    fn predicate(&self, out: &mut ObjectWriter<'_>) {
        out.string("report", self.framework.name);
        out.string("title", self.framework.title);
        out.string("made", &rfc3339(self.made_ms));
        if self.since_ms > 0 {
            out.string("since", &rfc3339(self.since_ms));
        }
        if self.until_ms < u64::MAX {
            out.string("until", &rfc3339(self.until_ms));
        }
        out.object("ledger", |out| {
            out.string("origin", &self.origin);
            out.integer("size", self.size);
            out.string("checkpoint", &self.checkpoint);
            out.integer("entries_in_period", self.entries);
            if let Some(oldest_ms) = self.oldest_ms {
                out.string("oldest", &rfc3339(oldest_ms));
            }
        });
        out.object("settings", |out| {
            self.settings
                .iter()
                .for_each(|(name, value)| out.string(name, value));
        });
        out.array("controls", |list| {
            self.controls
                .iter()
                .for_each(|found| list.object(|out| found.write(out)));
        });
        out.array("register", |list| {
            for (purpose, row) in &self.register {
                list.object(|out| row.write(purpose, out));
            }
        });
    }

    /// For people at a terminal.
    fn words(&self) -> String {
        let head = ["CONTROL", "RESULT", "COUNTS"];
        let row = |found: &Found<'_>| {
            let counts = found.control.measures.iter().zip(&found.counts);
            let counts = counts.map(|(measure, count)| format!("{count} {}", measure.what));
            vec![
                found.control.id.to_owned(),
                found.result().to_owned(),
                counts.collect::<Vec<_>>().join("; "),
            ]
        };
        let rows = self.controls.iter().map(row).collect();
        format!(
            "{}\n{} of {} entries of {}\n\n{}",
            self.framework.title,
            self.entries,
            self.size,
            self.origin,
            table(&head, rows)
        )
    }
}

impl Found<'_> {
    fn write(&self, out: &mut ObjectWriter<'_>) {
        out.string("id", self.control.id);
        out.string("tag", self.control.tag);
        out.string("statement", self.control.statement);
        out.string("result", self.result());
        out.array("measures", |list| {
            for (measure, count) in self.control.measures.iter().zip(&self.counts) {
                list.object(|out| {
                    out.string("what", measure.what);
                    out.string("query", measure.query);
                    out.integer("count", *count);
                });
            }
        });
        out.array("samples", |list| {
            for sample in &self.samples {
                list.object(|out| {
                    out.integer("index", sample.index);
                    out.string("entry", &BASE64.encode(&sample.entry));
                    out.string("proof", &sample.proof);
                });
            }
        });
        out.array("gaps", |list| {
            self.control.gaps.iter().for_each(|gap| list.string(gap))
        });
    }
}

impl Processing {
    fn write(&self, purpose: &str, out: &mut ObjectWriter<'_>) {
        out.string("purpose", purpose);
        out.integer("calls", self.calls);
        out.integer("disclosures", self.disclosures);
        for (name, words) in [
            ("recipients", &self.recipients),
            ("categories", &self.categories),
            ("agents", &self.agents),
        ] {
            out.array(name, |list| words.iter().for_each(|word| list.string(word)));
        }
    }
}
