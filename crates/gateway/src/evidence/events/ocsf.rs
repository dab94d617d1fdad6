//! Open Cybersecurity Schema Framework: what ends a call is API Activity (6003), who proves nothing or is let in is
//! Authentication (3002), what inspection found is a Detection Finding (2004). They are events of the schema as it is
//! published; what it has no place for, where the entry stands in the ledger among it, is in `unmapped`.

use records::{
    digest::{hex, sha256},
    ledger::{Decision, Entry, Kind, Stored, merkle::leaf_hash},
};
use wire::json::{Document, Keys, ObjectWriter, canonical, object};

use super::{Severity, cef::address, message, severity};

/// The published version of the schema. The draft after it has a profile `record_integrity` with an object
/// `attestation`; ours has its names, and moves out of `unmapped` when that is published.
const VERSION: &str = "1.8.0";

/// A class of events.
#[derive(Clone, Copy)]
enum Class {
    ApiActivity,
    Authentication,
    DetectionFinding,
}

impl Class {
    const fn uid(self) -> u64 {
        match self {
            Self::ApiActivity => 6003,
            Self::Authentication => 3002,
            Self::DetectionFinding => 2004,
        }
    }

    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::ApiActivity => ("API Activity", "Application Activity"),
            Self::Authentication => ("Authentication", "Identity & Access Management"),
            Self::DetectionFinding => ("Detection Finding", "Findings"),
        }
    }
}

/// The events of an entry. What only says that a call is about to be sent, or that the ledger lives, is none.
pub(super) fn events(origin: &str, stored: &Stored, entry: &Entry) -> Vec<Vec<u8>> {
    let is_authentication = entry.kind == Kind::Session
        || entry.kind == Kind::Refusal && entry.stage.as_deref() == Some("authenticate");
    let class = match entry.kind {
        Kind::Heartbeat | Kind::Intent | Kind::Shard => return Vec::new(),
        Kind::Refusal | Kind::Session if is_authentication => Class::Authentication,
        Kind::Finding | Kind::Gap | Kind::Incident => Class::DetectionFinding,
        Kind::Approval
        | Kind::Configuration
        | Kind::Egress
        | Kind::Key
        | Kind::Outcome
        | Kind::Policy
        | Kind::Refusal
        | Kind::Registry
        | Kind::Session
        | Kind::Subject => Class::ApiActivity,
    };
    let found = entry.kind.ends_call() && entry.findings.iter().any(|finding| finding.kind != "personal");
    let also = found.then_some(Class::DetectionFinding);
    let each = [Some(class), also].into_iter().flatten();
    each.map(|class| event(class, origin, stored, entry)).collect()
}

fn event(class: Class, origin: &str, stored: &Stored, entry: &Entry) -> Vec<u8> {
    let bare = object(|out| write(out, class, origin, stored, entry, None));
    let print = Document::parse(bare.clone(), Keys::Exact, &wire::bounds::ANSWER)
        .map(|document| hex(&sha256(&[&canonical(document.root())])));
    match print {
        Ok(print) => object(|out| write(out, class, origin, stored, entry, Some(&print))),
        Err(_) => bare,
    }
}

/// The number and name of an activity.
fn activity(class: Class, entry: &Entry) -> (u64, &'static str) {
    match class {
        Class::DetectionFinding => (1, "Create"),
        Class::Authentication => match entry.action.as_deref() {
            Some("closed" | "ended" | "expired") => (2, "Logoff"),
            _ => (1, "Logon"),
        },
        Class::ApiActivity => match (entry.kind, entry.text("sink")) {
            (Kind::Outcome | Kind::Refusal, Some("read")) => (2, "Read"),
            (Kind::Outcome | Kind::Refusal, Some("write")) => (3, "Update"),
            (Kind::Outcome | Kind::Refusal, Some("destructive")) => (4, "Delete"),
            (Kind::Outcome | Kind::Refusal, Some("egress")) => (99, "Egress"),
            (Kind::Outcome | Kind::Refusal, _) => (0, "Unknown"),
            _ => (3, "Update"),
        },
    }
}

fn write(
    out: &mut ObjectWriter<'_>,
    class: Class,
    origin: &str,
    stored: &Stored,
    entry: &Entry,
    print: Option<&str>,
) {
    let (activity_id, activity_name) = activity(class, entry);
    let (class_name, category_name) = class.names();
    let uid = class.uid();
    out.integer("activity_id", activity_id);
    out.string("activity_name", activity_name);
    out.integer("category_uid", uid / 1000);
    out.string("category_name", category_name);
    out.integer("class_uid", uid);
    out.string("class_name", class_name);
    out.integer("type_uid", uid * 100 + activity_id);
    out.integer("time", entry.time_ms);
    let (severity_id, severity) = match severity(entry) {
        Severity::Informational => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
    };
    out.integer("severity_id", severity_id);
    out.string("severity", severity);
    out.string("message", &message(entry));
    status(out, class, entry);
    out.object("metadata", |out| {
        out.string("version", VERSION);
        out.string("uid", &format!("{origin}#{}", stored.index));
        out.string("log_name", origin);
        out.integer("sequence", stored.index);
        if let Some(call) = &entry.call {
            out.string("correlation_uid", call);
        }
        out.object("product", |out| {
            out.string("name", "Sallyport");
            out.string("vendor_name", "Sallyport");
            out.string("version", env!("CARGO_PKG_VERSION"));
        });
    });
    match class {
        Class::ApiActivity => api(out, entry),
        Class::Authentication => authentication(out, entry),
        Class::DetectionFinding => finding(out, origin, stored.index, entry),
    }
    out.object("unmapped", |out| {
        out.object("attestation", |out| attestation(out, origin, stored.index, print));
        unmapped(out, stored, entry);
    });
}

fn attestation(out: &mut ObjectWriter<'_>, origin: &str, index: u64, print: Option<&str>) {
    out.string("uid", &index.to_string());
    out.string("authority_uid", origin);
    out.string("chain_uid", origin);
    if let Some(print) = print {
        out.object("fingerprint", |out| {
            out.string("algorithm", "SHA-256");
            out.integer("algorithm_id", 3);
            out.string("value", print);
        });
    }
}

fn status(out: &mut ObjectWriter<'_>, class: Class, entry: &Entry) {
    // The status of a finding is where its handling stands, not whether something succeeded.
    if matches!(class, Class::DetectionFinding) {
        out.integer("status_id", 1);
        out.string("status", "New");
        return;
    }
    let (id, name) = match entry.decision {
        Some(Decision::Permit) | None => (1, "Success"),
        Some(Decision::Refuse | Decision::Hold) => (2, "Failure"),
    };
    out.integer("status_id", id);
    out.string("status", name);
    if let Some(code) = &entry.code {
        out.string("status_code", code);
    }
    if let Some(reason) = &entry.reason {
        out.string("status_detail", reason);
    }
    if let Some(ms) = entry.ms {
        out.integer("duration", ms);
    }
}

fn user(out: &mut ObjectWriter<'_>, entry: &Entry) {
    let name = entry.principal.user.as_ref().or(entry.principal.agent.as_ref());
    out.object("user", |out| {
        out.string("name", name.map_or("unknown", String::as_str));
        if let Some(tenant) = &entry.principal.tenant {
            out.object("org", |out| out.string("name", tenant));
        }
    });
}

fn actor(out: &mut ObjectWriter<'_>, entry: &Entry) {
    out.object("actor", |out| {
        user(out, entry);
        if let Some(agent) = &entry.principal.agent {
            out.string("app_name", agent);
        }
    });
}

fn source(out: &mut ObjectWriter<'_>, entry: &Entry) {
    out.object("src_endpoint", |out| {
        match entry.text("peer").and_then(address) {
            Some(ip) => out.string("ip", ip),
            None => out.string("name", entry.transport.as_deref().unwrap_or("sallyport")),
        };
    });
}

fn api(out: &mut ObjectWriter<'_>, entry: &Entry) {
    actor(out, entry);
    out.object("api", |out| {
        let operation = entry.method.as_deref().or(entry.action.as_deref());
        out.string("operation", operation.unwrap_or(entry.kind.as_str()));
        if let Some(server) = &entry.server {
            out.object("service", |out| out.string("name", server));
        }
        if let Some(call) = &entry.call {
            out.object("request", |out| out.string("uid", call));
        }
        if let Some(revision) = &entry.revision {
            out.string("version", revision);
        }
    });
    source(out, entry);
    if let Some(tool) = &entry.tool {
        out.array("resources", |list| {
            list.object(|out| {
                out.string("name", tool);
                out.string("type", "tool");
            });
        });
    }
}

fn authentication(out: &mut ObjectWriter<'_>, entry: &Entry) {
    user(out, entry);
    source(out, entry);
    out.object("service", |out| out.string("name", "sallyport"));
    out.boolean("is_remote", entry.transport.as_deref() != Some("stdio"));
}

fn finding(out: &mut ObjectWriter<'_>, origin: &str, index: u64, entry: &Entry) {
    let kinds: std::collections::BTreeSet<&str> =
        entry.findings.iter().map(|one| one.kind.as_str()).collect();
    let kinds: Vec<&str> = kinds.into_iter().collect();
    let title = if entry.kind == Kind::Gap {
        "records were lost".to_owned()
    } else if kinds.is_empty() {
        "something outside a call was found".to_owned()
    } else {
        format!("inspection found: {}", kinds.join(", "))
    };
    out.object("finding_info", |out| {
        out.string("uid", &format!("{origin}#{index}"));
        out.string("title", &title);
        out.integer("created_time", entry.time_ms);
        if !kinds.is_empty() {
            out.array("types", |list| kinds.iter().for_each(|kind| list.string(kind)));
        }
        if let Some(reason) = &entry.reason {
            out.string("desc", reason);
        }
    });
    if let Some(server) = &entry.server {
        out.array("resources", |list| {
            list.object(|out| {
                out.string("name", entry.tool.as_ref().unwrap_or(server));
                out.string("type", if entry.tool.is_some() { "tool" } else { "server" });
            });
        });
    }
}

/// What the schema has no place for.
fn unmapped(out: &mut ObjectWriter<'_>, stored: &Stored, entry: &Entry) {
    out.string("kind", entry.kind.as_str());
    out.integer("index", stored.index);
    out.string("leaf_hash", &hex(&leaf_hash(&stored.bytes)));
    for (name, text) in [
        ("purpose", entry.purpose.as_deref()),
        ("context", entry.context.as_deref()),
        ("model", entry.principal.model.as_deref()),
        ("stage", entry.stage.as_deref()),
        ("policy", entry.policy.as_deref()),
        ("pin", entry.pin.as_deref()),
        ("sink", entry.text("sink")),
        ("args_digest", entry.args_digest.as_deref()),
        ("result_digest", entry.result_digest.as_deref()),
    ] {
        if let Some(text) = text {
            out.string(name, text);
        }
    }
    for (name, list) in [
        ("rules", &entry.rules),
        ("subjects", &entry.subjects),
        ("sources", &entry.sources),
    ] {
        if !list.is_empty() {
            out.array(name, |out| list.iter().for_each(|text| out.string(text)));
        }
    }
}
