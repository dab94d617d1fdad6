//! `sallyport policy replay --runs FILE`: what data-flow control would have said to recorded agent runs.
//! Nothing is executed. It must not show the engine anything an agent's gateway would not see: the user's
//! words, the calls and their results in order. Labels and injections are read for the report alone.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use clap::Args;
use inspect::{Inspector, Settings as Detectors, Surface};
use policy::{
    Confidentiality, Trust,
    flow::{Brought, Call, Cause, Flow, Outcome, Settings, Strictness, Suspicion},
};
use wire::{
    bounds::ANSWER,
    json::{Document, Keys, Node, ObjectWriter, object},
};

use super::{Common, say, table, weigh};
use crate::{engines, failure::Failure};

/// Decide recorded runs again, without executing anything.
#[derive(Args, Debug)]
pub(crate) struct Replay {
    /// Recorded runs, one JSON object a line: `id`, `label`, `user_prompt`, and `steps` of `tool`, `args`,
    /// `output` and `error`.
    #[arg(long, value_name = "FILE")]
    runs: Option<PathBuf>,
    /// The calls of the ledger instead: what rules would have said to each. The ledger keeps no arguments,
    /// so where they matter the answer is `depends`.
    #[arg(long, conflicts_with_all = ["runs", "no_detectors", "strictness", "curve", "by"])]
    ledger: bool,
    /// With --ledger: files of rules instead of those of the configuration; packs stay.
    #[arg(requires = "ledger")]
    files: Vec<PathBuf>,
    /// Decide without looking for instructions in results.
    #[arg(long)]
    no_detectors: bool,
    /// How much to hold: off, trifecta, lenient, balanced, strict or paranoid. Otherwise lenient with
    /// detectors, strict without.
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    strictness: Option<Strictness>,
    /// Print a table of what every strictness would have stopped and interrupted, instead of the runs.
    #[arg(long, conflicts_with = "strictness")]
    curve: bool,
    /// Print a table by the values of a field of the runs, such as `suite` or `model`, instead of the runs.
    #[arg(long, value_name = "FIELD", conflicts_with = "curve")]
    by: Option<String>,
}

/// A call that was held or refused.
struct Held {
    step: usize,
    tool: String,
    outcome: Outcome,
    causes: Vec<Cause>,
    /// How many arguments there are besides of which the same is to be said.
    more: usize,
}

/// What became of one run.
struct Told {
    held: Vec<Held>,
    /// Whether some call was held once there was anything to be wary of.
    stopped: bool,
}

/// How many of how many.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    hit: u32,
    of: u32,
}

/// The figures of a set of runs, by label.
#[derive(Debug, Default)]
struct Figures(BTreeMap<String, Share>);

fn level(word: &str) -> Result<Strictness, String> {
    let known = || Strictness::ALL.map(Strictness::as_str).join(", ");
    Strictness::parse(word).ok_or_else(|| format!("write one of {}", known()))
}

impl Replay {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        let Some(runs) = &self.runs else {
            if !self.ledger {
                let why = "say what to decide again: `--ledger`, the calls of the ledger, or `--runs FILE`, recorded ones";
                return Err(Failure::configuration(why));
            }
            return weigh::replay(common, &self.files);
        };
        let runs = read(runs)?;
        let inspector = match self.no_detectors {
            true => None,
            false => Some(
                Inspector::new(&Detectors::default()).map_err(|e| Failure::configuration(e.to_string()))?,
            ),
        };
        let suspicions: Vec<Vec<Suspicion>> = runs
            .iter()
            .map(|run| suspicions(run.root(), inspector.as_ref()))
            .collect();
        let decided = |settings: Settings| {
            runs.iter()
                .zip(&suspicions)
                .map(move |(run, suspicions)| (run, decide(run.root(), suspicions, settings)))
        };
        if self.curve {
            let rows = Strictness::ALL.map(|level| {
                (
                    level.as_str().to_owned(),
                    Figures::of(decided(at(level)).map(|(run, told)| (run.root(), told))),
                )
            });
            print("strictness", rows.into_iter().collect(), common.json);
            return Ok(());
        }
        let settings = match (self.strictness, self.no_detectors) {
            (Some(level), _) => at(level),
            (None, true) => at(Strictness::Strict),
            (None, false) => Settings::default(),
        };
        if let Some(field) = &self.by {
            let mut sets: BTreeMap<String, Vec<_>> = BTreeMap::new();
            for (run, told) in decided(settings) {
                sets.entry(text(run.root(), field))
                    .or_default()
                    .push((run.root(), told));
            }
            let rows = sets
                .into_iter()
                .map(|(value, runs)| (value, Figures::of(runs.into_iter())));
            print(field, rows.collect(), common.json);
            return Ok(());
        }
        for (run, told) in decided(settings) {
            say(&String::from_utf8_lossy(&told.line(run.root())));
        }
        Ok(())
    }
}

/// A strictness, and no less once something suspicious was read.
fn at(level: Strictness) -> Settings {
    let once_suspicious = if level == Strictness::Off {
        level
    } else {
        level.max(Strictness::Strict)
    };
    Settings {
        strictness: level,
        once_suspicious,
    }
}

fn read(path: &Path) -> Result<Vec<Document>, Failure> {
    let wrong = |at: usize, what: &str| Failure::configuration(format!("{}:{at}: {what}", path.display()));
    let file =
        File::open(path).map_err(|error| Failure::configuration(format!("{}: {error}", path.display())))?;
    let mut runs = Vec::new();
    for (n, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|error| wrong(n + 1, &error.to_string()))?;
        if line.trim().is_empty() {
            continue;
        }
        let run = Document::parse(line.into_bytes(), Keys::Exact, &ANSWER);
        let run = run.map_err(|error| wrong(n + 1, &error.to_string()))?;
        if run.root().get("steps").is_none() {
            return Err(wrong(
                n + 1,
                "has no `steps`; a run is an object with `id`, `user_prompt` and `steps`",
            ));
        }
        runs.push(run);
    }
    Ok(runs)
}

/// For each step, whether a detector found instructions in what it brought.
fn suspicions(run: Node<'_>, inspector: Option<&Inspector>) -> Vec<Suspicion> {
    steps(run)
        .map(|step| {
            let Some(inspector) = inspector else {
                return Suspicion::None;
            };
            let findings = inspector.inspect_text(&brought(step), Surface::Result);
            engines::flow::suspicion(&findings)
        })
        .collect()
}

fn decide(run: Node<'_>, suspicions: &[Suspicion], settings: Settings) -> Told {
    let mut flow = Flow::new(Some(&text(run, "user_prompt")), settings);
    let mut told = Told {
        held: Vec::new(),
        stopped: false,
    };
    for (n, step) in steps(run).enumerate() {
        let tool = text(step, "tool");
        let call = Call {
            server: "",
            tool: &tool,
            sink: None,
            args: step.get("args"),
        };
        let judgement = flow.judge(&call);
        if judgement.outcome == Outcome::Permit {
            flow.made(&call);
        } else {
            told.stopped |= n > 0;
            told.held.push(Held {
                step: n + 1,
                tool: tool.clone(),
                outcome: judgement.outcome,
                causes: judgement.causes,
                more: judgement.more,
            });
        }
        // The record says what the call brought, so what it brought is read, whatever was said to it.
        let text = brought(step);
        let suspicion = suspicions.get(n).copied().unwrap_or_default();
        let confidentiality = Confidentiality::Public;
        flow.uses(&call);
        flow.absorb(
            &call,
            &Brought {
                text: &text,
                trust: Trust::Untrusted,
                confidentiality,
                suspicion,
            },
        );
    }
    told
}

fn steps(run: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    run.get("steps").into_iter().flat_map(Node::elements)
}

fn text(node: Node<'_>, name: &str) -> String {
    node.get(name)
        .and_then(Node::as_str)
        .unwrap_or_default()
        .into_owned()
}

/// What the agent reads of a step: the output, and the error if there was one.
fn brought(step: Node<'_>) -> String {
    let (output, error) = (text(step, "output"), text(step, "error"));
    if error.is_empty() {
        output
    } else {
        format!("{output}\n{error}")
    }
}

impl Held {
    fn sentence(&self) -> String {
        let said = match self.outcome {
            Outcome::Refuse => "refused",
            Outcome::Ask | Outcome::Permit => "held for approval",
        };
        let mut reasons: Vec<String> = self.causes.iter().map(ToString::to_string).collect();
        if self.more > 0 {
            reasons.push(format!("and so with {} more arguments", self.more));
        }
        format!(
            "call {}, `{}`, {said}: {}",
            self.step,
            self.tool,
            reasons.join("; ")
        )
    }

    fn write(&self, out: &mut ObjectWriter<'_>) {
        out.integer("step", u64::try_from(self.step).unwrap_or(u64::MAX));
        out.string("tool", &self.tool);
        out.string("outcome", self.outcome.as_str());
        out.array("rules", |out| {
            self.causes
                .iter()
                .for_each(|cause| out.string(cause.rule.as_str()))
        });
        out.string("reason", &self.sentence());
    }
}

impl Told {
    fn line(&self, run: Node<'_>) -> Vec<u8> {
        let asked = self
            .held
            .iter()
            .filter(|held| held.outcome == Outcome::Ask)
            .count();
        object(|out| {
            out.string("id", &text(run, "id"));
            out.string("label", &text(run, "label"));
            out.boolean("stopped", self.stopped);
            out.boolean("interrupted", !self.held.is_empty());
            out.integer("approvals", u64::try_from(asked).unwrap_or(u64::MAX));
            match self.held.first() {
                Some(held) => out.string("first_refusal", &held.sentence()),
                None => out.null("first_refusal"),
            }
            out.array("held", |out| {
                self.held
                    .iter()
                    .for_each(|held| out.object(|out| held.write(out)))
            });
        })
    }
}

impl Figures {
    fn of<'r>(runs: impl Iterator<Item = (Node<'r>, Told)>) -> Self {
        let mut figures: BTreeMap<String, Share> = BTreeMap::new();
        for (run, told) in runs {
            let label = text(run, "label");
            let hit = if label == "benign" {
                !told.held.is_empty()
            } else {
                told.stopped
            };
            let share = figures.entry(label).or_default();
            share.of += 1;
            share.hit += u32::from(hit);
        }
        Self(figures)
    }
}

/// A table of figures: benign runs interrupted, attacks stopped.
fn print(first: &str, rows: Vec<(String, Figures)>, json: bool) {
    if json {
        for (name, figures) in rows {
            let line = object(|out| {
                out.string(first, &name);
                for (label, share) in &figures.0 {
                    out.object(label, |out| {
                        out.integer(
                            if label == "benign" {
                                "interrupted"
                            } else {
                                "stopped"
                            },
                            share.hit,
                        );
                        out.integer("of", share.of);
                    });
                }
            });
            say(&String::from_utf8_lossy(&line));
        }
        return;
    }
    let labels: std::collections::BTreeSet<String> = rows
        .iter()
        .flat_map(|(_, figures)| figures.0.keys().cloned())
        .collect();
    let heads: Vec<String> = labels
        .iter()
        .map(|label| {
            if label == "benign" {
                "benign interrupted".to_owned()
            } else {
                format!("{label} stopped")
            }
        })
        .collect();
    let head: Vec<&str> = std::iter::once(first)
        .chain(heads.iter().map(String::as_str))
        .collect();
    let cell = |share: Option<&Share>| match share {
        Some(share) => format!(
            "{}/{} {:.1} %",
            share.hit,
            share.of,
            100.0 * f64::from(share.hit) / f64::from(share.of)
        ),
        None => "-".to_owned(),
    };
    let rows = rows.into_iter().map(|(name, figures)| {
        std::iter::once(name)
            .chain(labels.iter().map(|label| cell(figures.0.get(label))))
            .collect()
    });
    say(&table(&head, rows.collect()));
}
