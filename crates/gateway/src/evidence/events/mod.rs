//! Events out: entries of the ledger in the forms that other systems read. What is told is what the ledger holds;
//! arguments, results and identifiers of people are in neither.

mod cef;
mod deliver;
mod ocsf;
mod otlp;

use records::ledger::{Entry, Stored, entry::export};

pub(crate) use deliver::{Backlog, follow};

/// A form of events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    /// ArcSight's Common Event Format.
    Cef,
    /// Entries as they are, one a line.
    Json,
    /// Open Cybersecurity Schema Framework.
    Ocsf,
    /// OpenTelemetry's logs, as JSON.
    Otlp,
}

impl Format {
    /// The form of this name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "cef" => Self::Cef,
            "json" | "jsonl" => Self::Json,
            "ocsf" => Self::Ocsf,
            "otlp" => Self::Otlp,
            _ => return None,
        })
    }
}

/// What a form makes of an entry: no line, one, or several. A line has no newline.
pub(crate) fn lines(format: Format, origin: &str, stored: &Stored) -> Vec<Vec<u8>> {
    let Ok(entry) = Entry::read(&stored.bytes) else {
        return Vec::new();
    };
    match format {
        Format::Cef => cef::line(stored.index, &entry).into_iter().collect(),
        Format::Json => export(stored.index, &stored.bytes).into_iter().collect(),
        Format::Ocsf => ocsf::events(origin, stored, &entry),
        Format::Otlp => vec![otlp::record(stored.index, &entry)],
    }
}

/// Lines of one form as one text to send.
pub(crate) fn body(format: Format, lines: &[Vec<u8>]) -> Vec<u8> {
    match format {
        Format::Otlp => otlp::request(lines),
        Format::Cef | Format::Json | Format::Ocsf => {
            let mut text = lines.join(&b'\n');
            text.push(b'\n');
            text
        }
    }
}

/// How bad an entry is: what all forms agree on.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Severity {
    Informational,
    Low,
    Medium,
    High,
}

fn severity(entry: &Entry) -> Severity {
    use records::ledger::{Decision, Kind};
    let hostile = entry
        .findings
        .iter()
        .any(|finding| matches!(finding.kind.as_str(), "injection" | "poisoning" | "secret"));
    match entry.kind {
        Kind::Gap | Kind::Incident => Severity::High,
        _ if hostile => Severity::High,
        Kind::Finding => Severity::Medium,
        Kind::Refusal => Severity::Medium,
        _ if entry.decision == Some(Decision::Refuse) => Severity::Medium,
        Kind::Egress if entry.decision.is_none() => Severity::Informational,
        Kind::Egress | Kind::Key | Kind::Policy | Kind::Registry | Kind::Subject | Kind::Approval => {
            Severity::Low
        }
        Kind::Configuration
        | Kind::Heartbeat
        | Kind::Intent
        | Kind::Outcome
        | Kind::Session
        | Kind::Shard => Severity::Informational,
    }
}

/// One line of words about an entry.
fn message(entry: &Entry) -> String {
    let named = [
        entry.action.as_deref(),
        entry.server.as_deref(),
        entry.tool.as_deref(),
    ];
    let words = std::iter::once(entry.kind.as_str()).chain(named.into_iter().flatten());
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
