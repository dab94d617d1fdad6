//! Entries: canonical text, limits, and the way back.

use std::collections::BTreeMap;

use proptest::prelude::*;
use wire::json::{Document, Keys, canonical};

use super::{read::BOUNDS, write::shorten, *};

fn full() -> Entry {
    let name = |text: &str| Some(text.to_owned());
    Entry {
        call: name("c-1"),
        principal: Principal {
            user: name("alice"),
            agent: name("scribe"),
            model: name("vendor/model-1"),
            tenant: name("north"),
        },
        purpose: name("treatment"),
        context: name("ctx-9"),
        action: name("invoke"),
        method: name("tools/call"),
        server: name("charts"),
        tool: name("charts__read"),
        decision: Some(Decision::Permit),
        code: name("ok"),
        stage: name("authorize"),
        fault: name("caller"),
        reason: name("a \"reason\"\nin two lines"),
        obligations: vec!["redact".to_owned()],
        rules: vec!["baseline-1".to_owned()],
        findings: vec![Finding {
            kind: "secret".to_owned(),
            detector: name("aws-key"),
            location: name("/arguments/text"),
            score_millis: Some(870),
        }],
        labels: Labels {
            integrity: name("trusted"),
            confidentiality: name("restricted"),
            categories: vec!["phi".to_owned()],
        },
        sources: vec!["web__fetch".to_owned()],
        subjects: vec![format!("hmac-sha256:{}", "0".repeat(64))],
        policy: name("sha256:00"),
        pin: name("sha256:11"),
        tls: Tls {
            version: name("1.3"),
            group: name("X25519MLKEM768"),
        },
        args_digest: name("hmac-sha256:22"),
        result_digest: name("hmac-sha256:33"),
        revision: name("2026-07-28"),
        transport: name("http"),
        ms: Some(12),
        detail: BTreeMap::from([
            ("bytes".to_owned(), Value::Number(-5)),
            ("note".to_owned(), Value::Text("x".to_owned())),
        ]),
        ..Entry::new(1_763_712_000_123, Kind::Intent)
    }
}

#[test]
fn an_entry_without_facts_is_time_kind_and_version() {
    let entry = Entry::new(1_763_712_000_123, Kind::Heartbeat);
    assert_eq!(
        str::from_utf8(entry.encode().bytes()).unwrap(),
        r#"{"kind":"heartbeat","time":1763712000123,"v":1}"#
    );
}

#[test]
fn the_exported_line_has_its_lists_and_groups_though_they_are_empty() {
    let encoded = Entry::new(1_763_712_000_123, Kind::Heartbeat).encode();
    let line: serde_json::Value = serde_json::from_slice(&export(7, encoded.bytes()).unwrap()).unwrap();
    for name in ["findings", "obligations", "sources"] {
        assert_eq!(line[name], serde_json::json!([]), "{name}");
    }
    for name in ["labels", "principal", "tls"] {
        assert_eq!(line[name], serde_json::json!({}), "{name}");
    }
}

#[test]
fn a_full_entry_comes_back_as_it_was() {
    let entry = full();
    assert_eq!(Entry::read(entry.encode().bytes()).unwrap(), entry);
}

#[test]
fn the_exported_line_has_the_index_and_a_readable_time_and_all_else() {
    let encoded = full().encode();
    let line: serde_json::Value = serde_json::from_slice(&export(7, encoded.bytes()).unwrap()).unwrap();
    let mut stored: serde_json::Value = serde_json::from_slice(encoded.bytes()).unwrap();
    stored["index"] = 7.into();
    stored["time"] = "2025-11-21T08:00:00.123Z".into();
    assert_eq!(line, stored);
    for name in [
        "index",
        "time",
        "kind",
        "call",
        "principal",
        "purpose",
        "context",
        "action",
        "server",
        "tool",
        "decision",
        "code",
        "stage",
        "fault",
        "reason",
        "obligations",
        "findings",
        "labels",
        "sources",
        "subjects",
        "policy",
        "pin",
        "tls",
        "args_digest",
        "result_digest",
    ] {
        assert!(line.get(name).is_some(), "ARCHITECTURE.md promises `{name}`");
    }
}

#[test]
fn times_are_written_as_rfc_3339_says() {
    for (unix_ms, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_399_999, "2000-02-28T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (951_868_800_000, "2000-03-01T00:00:00.000Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        (1_763_712_000_123, "2025-11-21T08:00:00.123Z"),
    ] {
        assert_eq!(rfc3339(unix_ms), text);
    }
}

#[test]
fn the_longest_entry_fits_a_bundle_and_says_that_it_was_cut() {
    // U+0001 needs six bytes in JSON: nothing grows more.
    let long = "\u{1}".repeat(100_000);
    let name = || Some(long.clone());
    let list = vec![long.clone(); 1_000];
    let mut entry = full();
    for field in [
        &mut entry.call,
        &mut entry.purpose,
        &mut entry.context,
        &mut entry.action,
        &mut entry.method,
        &mut entry.server,
        &mut entry.tool,
        &mut entry.code,
        &mut entry.stage,
        &mut entry.fault,
        &mut entry.reason,
        &mut entry.policy,
        &mut entry.pin,
        &mut entry.args_digest,
        &mut entry.result_digest,
        &mut entry.revision,
        &mut entry.transport,
    ] {
        *field = name();
    }
    entry.principal = Principal {
        user: name(),
        agent: name(),
        model: name(),
        tenant: name(),
    };
    entry.tls = Tls {
        version: name(),
        group: name(),
    };
    entry.labels = Labels {
        integrity: name(),
        confidentiality: name(),
        categories: list.clone(),
    };
    (entry.obligations, entry.rules) = (list.clone(), list.clone());
    (entry.sources, entry.subjects) = (list.clone(), list);
    let finding = Finding {
        kind: long.clone(),
        detector: name(),
        location: name(),
        score_millis: Some(999),
    };
    entry.findings = vec![finding; 1_000];
    entry.detail = (0..1_000)
        .map(|n| (format!("{n}{long}"), Value::Text(long.clone())))
        .collect();
    (entry.time_ms, entry.ms) = (u64::MAX, Some(u64::MAX));

    let encoded = entry.encode();
    assert!(
        encoded.bytes().len() <= ENTRY_BYTES_MAX,
        "{}",
        encoded.bytes().len()
    );
    assert!(
        encoded.bytes().len() > ENTRY_BYTES_MAX / 2,
        "the limits are not wasteful"
    );
    let back = Entry::read(encoded.bytes()).unwrap();
    assert!(back.truncated);
    assert_eq!(back.findings.len(), 32);
}

#[test]
fn a_text_is_cut_between_characters_and_only_when_it_must_be() {
    for (text, bytes_max, short) in [
        ("abc", 3, "abc"),
        ("abcdef", 5, "ab…"),
        ("äöü", 6, "äöü"),
        ("äöüß", 7, "äö…"),
        ("\n\n\n\n", 7, "\n\n…"),
        ("\"\"\"", 6, "\"\"\""),
        ("\u{1}\u{1}", 12, "\u{1}\u{1}"),
        ("\u{1}\u{1}", 11, "\u{1}…"),
    ] {
        assert_eq!(shorten(text, bytes_max), short, "{text:?} in {bytes_max}");
    }
}

#[test]
fn what_is_no_entry_is_refused_with_its_reason() {
    for (text, error) in [
        (r#"{"kind":"intent","time":1}"#, "the entry has no usable `v`"),
        (r#"{"kind":"intent","v":1}"#, "the entry has no usable `time`"),
        (
            r#"{"kind":"nonsense","time":1,"v":1}"#,
            "the entry has no usable `kind`",
        ),
        (
            r#"{"kind":"intent","time":1,"v":2}"#,
            "the entry has schema version 2, this program reads up to 1; use a newer one",
        ),
        (
            r#"{"time":1,"time":2}"#,
            "the entry is not JSON: two equal keys in one object at byte 19",
        ),
    ] {
        assert_eq!(Entry::read(text.as_bytes()).unwrap_err().to_string(), error);
    }
}

#[test]
fn every_word_is_read_as_it_is_written() {
    for kind in Kind::ALL {
        assert_eq!(Kind::from_text(kind.as_str()), Some(*kind));
    }
    for decision in Decision::ALL {
        assert_eq!(Decision::from_text(decision.as_str()), Some(*decision));
    }
}

proptest! {
    #[test]
    fn whatever_an_entry_holds_its_text_is_canonical_and_comes_back(
        reason in proptest::option::of(".{0,40}"),
        tool in proptest::option::of("\\PC{0,3000}"),
        list in proptest::collection::vec(".{0,300}", 0..40),
        detail in proptest::collection::btree_map(".{0,70}", any::<i64>(), 0..30),
        score in 0_u16..=1000,
        time_ms in 0_u64..(1 << 53),
    ) {
        let entry = Entry {
            reason,
            tool,
            obligations: list,
            findings: vec![Finding { kind: "k".to_owned(), score_millis: Some(score), ..Finding::default() }],
            detail: detail.into_iter().map(|(key, number)| (key, Value::Number(number))).collect(),
            ..Entry::new(time_ms, Kind::Finding)
        };
        let encoded = entry.encode();
        let document = Document::parse(encoded.bytes().to_vec(), Keys::Exact, &BOUNDS).unwrap();
        prop_assert_eq!(&canonical(document.root()), encoded.bytes());
        let back = Entry::read(encoded.bytes()).unwrap();
        prop_assert_eq!(back.findings[0].score_millis, Some(score));
        prop_assert_eq!(back.encode(), encoded, "writing what was read changes nothing");
    }
}
