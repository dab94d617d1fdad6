//! Common Event Format, version 0: a header of seven fields between bars, then `key=value`. What comes from outside is
//! escaped, so that no name can end a field or begin another event.

use std::fmt::Write as _;

use records::ledger::{Entry, Kind};

use super::{Severity, message, severity};

/// The line of an entry; none of those that only say that the ledger lives.
pub(super) fn line(index: u64, entry: &Entry) -> Option<Vec<u8>> {
    if matches!(entry.kind, Kind::Heartbeat) {
        return None;
    }
    let severity = match severity(entry) {
        Severity::Informational => 1,
        Severity::Low => 3,
        Severity::Medium => 6,
        Severity::High => 9,
    };
    let code = entry.code.as_deref().unwrap_or(entry.kind.as_str());
    let mut out = format!(
        "CEF:0|Sallyport|sallyport|{}|{}|{}|{severity}|",
        header(env!("CARGO_PKG_VERSION")),
        header(code),
        header(&message(entry)),
    );
    let index = index.to_string();
    let time = entry.time_ms.to_string();
    let ms = entry.ms.map(|ms| ms.to_string());
    let pairs = [
        ("externalId", Some(index.as_str())),
        ("rt", Some(&time)),
        ("act", entry.decision.map(records::ledger::Decision::as_str)),
        ("suser", entry.principal.user.as_deref()),
        ("src", entry.text("peer").and_then(address)),
        ("dhost", entry.server.as_deref()),
        ("reason", entry.code.as_deref()),
        ("msg", entry.reason.as_deref()),
        ("cs1Label", entry.principal.agent.as_ref().map(|_| "agent")),
        ("cs1", entry.principal.agent.as_deref()),
        ("cs2Label", entry.tool.as_ref().map(|_| "tool")),
        ("cs2", entry.tool.as_deref()),
        ("cs3Label", entry.purpose.as_ref().map(|_| "purpose")),
        ("cs3", entry.purpose.as_deref()),
        ("cs4Label", entry.call.as_ref().map(|_| "call")),
        ("cs4", entry.call.as_deref()),
        ("cs5Label", entry.policy.as_ref().map(|_| "policy")),
        ("cs5", entry.policy.as_deref()),
        ("cn1Label", ms.as_ref().map(|_| "ms")),
        ("cn1", ms.as_deref()),
    ];
    let mut first = true;
    for (key, value) in pairs {
        if let Some(value) = value {
            let space = if std::mem::take(&mut first) { "" } else { " " };
            let _ = write!(out, "{space}{key}={}", extension(value));
        }
    }
    Some(out.into_bytes())
}

/// The address of a peer without its port.
pub(super) fn address(peer: &str) -> Option<&str> {
    let (host, _) = peer.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.parse::<std::net::IpAddr>().is_ok().then_some(host)
}

/// A field of the header: no bar, no line of its own.
fn header(text: &str) -> String {
    escaped(text, |c| matches!(c, '|' | '\\'), " ")
}

/// A value of the extension: no equals sign, and a line break is two characters.
fn extension(text: &str) -> String {
    escaped(text, |c| matches!(c, '=' | '\\'), "\\n")
}

fn escaped(text: &str, marked: impl Fn(char) -> bool, line: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut previous = ' ';
    for c in text.chars() {
        match c {
            '\n' if previous == '\r' => {}
            '\r' | '\n' | '\u{2028}' | '\u{2029}' | '\u{85}' => out.push_str(line),
            c if c.is_control() => out.push(' '),
            c if marked(c) => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
        previous = c;
    }
    out
}
