//! OpenTelemetry's logs in OTLP's JSON encoding, with the names its conventions have for MCP where there are any.

use records::ledger::{Entry, entry::Value};
use wire::json::{ArrayWriter, object};

use super::{Severity, message, severity};

/// One log record.
pub(super) fn record(index: u64, entry: &Entry) -> Vec<u8> {
    let (number, word) = match severity(entry) {
        Severity::Informational => (9, "INFO"),
        Severity::Low => (10, "INFO2"),
        Severity::Medium => (13, "WARN"),
        Severity::High => (17, "ERROR"),
    };
    object(|out| {
        // Numbers of 64 bits are texts in protobuf's JSON.
        out.string("timeUnixNano", &format!("{}000000", entry.time_ms));
        out.integer("severityNumber", number);
        out.string("severityText", word);
        out.object("body", |out| out.string("stringValue", &message(entry)));
        if let Some(trace) = entry.text("trace").filter(|trace| trace.len() == 32) {
            out.string("traceId", trace);
        }
        out.array("attributes", |list| attributes(list, index, entry));
    })
}

/// A request of an exporter: all records under this program's name.
pub(super) fn request(records: &[Vec<u8>]) -> Vec<u8> {
    object(|out| {
        out.array("resourceLogs", |list| {
            list.object(|out| {
                out.object("resource", |out| {
                    out.array("attributes", |list| {
                        text(list, "service.name", Some("sallyport"));
                        text(list, "service.version", Some(env!("CARGO_PKG_VERSION")));
                    });
                });
                out.array("scopeLogs", |list| {
                    list.object(|out| {
                        out.object("scope", |out| out.string("name", "sallyport.ledger"));
                        out.array("logRecords", |list| {
                            records.iter().for_each(|record| list.json(record))
                        });
                    });
                });
            });
        });
    })
}

fn attributes(list: &mut ArrayWriter<'_>, index: u64, entry: &Entry) {
    number(list, "sallyport.entry", index);
    text(list, "sallyport.kind", Some(entry.kind.as_str()));
    text(list, "sallyport.call", entry.call.as_deref());
    text(list, "sallyport.action", entry.action.as_deref());
    let decision = entry.decision.map(records::ledger::Decision::as_str);
    text(list, "sallyport.decision", decision);
    text(
        list,
        "error.type",
        entry.code.as_deref().filter(|code| *code != "ok"),
    );
    text(list, "sallyport.stage", entry.stage.as_deref());
    text(list, "sallyport.purpose", entry.purpose.as_deref());
    text(list, "sallyport.policy", entry.policy.as_deref());
    text(list, "sallyport.server", entry.server.as_deref());
    text(list, "gen_ai.tool.name", entry.tool.as_deref());
    text(list, "gen_ai.agent.name", entry.principal.agent.as_deref());
    text(list, "user.name", entry.principal.user.as_deref());
    text(list, "mcp.method.name", entry.method.as_deref());
    text(list, "mcp.protocol.version", entry.revision.as_deref());
    text(list, "network.transport", entry.transport.as_deref());
    if let Some(ms) = entry.ms {
        number(list, "sallyport.ms", ms);
    }
    for (name, value) in &entry.detail {
        if let Value::Number(count) = value {
            let key = format!("sallyport.detail.{name}");
            list.object(|out| {
                out.string("key", &key);
                out.object("value", |out| out.string("intValue", &count.to_string()));
            });
        }
    }
}

fn text(list: &mut ArrayWriter<'_>, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        list.object(|out| {
            out.string("key", key);
            out.object("value", |out| out.string("stringValue", value));
        });
    }
}

fn number(list: &mut ArrayWriter<'_>, key: &str, value: u64) {
    list.object(|out| {
        out.string("key", key);
        out.object("value", |out| out.string("intValue", &value.to_string()));
    });
}
