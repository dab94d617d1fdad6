use records::ledger::{
    Decision, Entry, Kind, Stored,
    entry::{Finding, Principal},
};

use super::{Format, body, lines};

const ORIGIN: &str = "log.example/1";

fn stored(entry: &Entry) -> Stored {
    Stored {
        index: 7,
        bytes: entry.encode().bytes().to_vec(),
    }
}

fn refusal(tool: &str, reason: &str) -> Entry {
    Entry {
        call: Some("c1".to_owned()),
        principal: Principal {
            agent: Some("scribe".to_owned()),
            user: Some("alice".to_owned()),
            ..Principal::default()
        },
        server: Some("web".to_owned()),
        tool: Some(tool.to_owned()),
        method: Some("tools/call".to_owned()),
        decision: Some(Decision::Refuse),
        code: Some("policy".to_owned()),
        reason: Some(reason.to_owned()),
        findings: vec![Finding {
            kind: "injection".to_owned(),
            ..Finding::default()
        }],
        ..Entry::new(1_763_712_000_000, Kind::Refusal)
    }
    .with("peer", "192.0.2.7:4711")
}

fn one(format: Format, entry: &Entry) -> String {
    let lines = lines(format, ORIGIN, &stored(entry));
    String::from_utf8(lines[0].clone()).unwrap()
}

// CONTROL: monitoring
#[test]
fn no_name_ends_a_field_of_cef_or_begins_another_event() {
    let hostile = "a|b\\c=d\r\nCEF:0|Evil|x|1|1|owned|10|act=permit\u{2028}e\u{0}f";
    let line = one(Format::Cef, &refusal(hostile, hostile));
    assert!(!line.contains(['\n', '\r', '\u{2028}', '\0']), "{line}");
    let bars = line.replace("\\\\", "").replace("\\|", "");
    let (head, extension) = bars.split_at(bars.match_indices('|').nth(6).unwrap().0 + 1);
    assert_eq!(head.matches('|').count(), 7, "{line}");
    assert!(head.starts_with("CEF:0|Sallyport|sallyport|"), "{line}");
    // Every equals sign that is not escaped follows a key of ours.
    let bare = extension.replace("\\=", "");
    for (at, _) in bare.match_indices('=') {
        let key = bare.split_at(at).0.rsplit(' ').next().unwrap();
        let ours = [
            "externalId",
            "rt",
            "act",
            "suser",
            "src",
            "dhost",
            "reason",
            "msg",
        ];
        let custom = key.starts_with("cs") || key.starts_with("cn");
        assert!(ours.contains(&key) || custom, "`{key}` in {line}");
    }
    assert!(
        extension.contains("act=refuse") && extension.contains("src=192.0.2.7"),
        "{line}"
    );
}

#[test]
fn a_refusal_with_findings_is_activity_and_a_detection() {
    let events = lines(Format::Ocsf, ORIGIN, &stored(&refusal("fetch", "no")));
    let events: Vec<serde_json::Value> = events
        .iter()
        .map(|event| serde_json::from_slice(event).unwrap())
        .collect();
    let classes: Vec<u64> = events
        .iter()
        .map(|event| event["class_uid"].as_u64().unwrap())
        .collect();
    assert_eq!(classes, [6003, 2004]);
    for event in &events {
        let (class, activity) = (event["class_uid"].as_u64(), event["activity_id"].as_u64());
        assert_eq!(
            event["type_uid"].as_u64(),
            class.zip(activity).map(|(c, a)| c * 100 + a)
        );
        assert_eq!(event["category_uid"].as_u64(), class.map(|class| class / 1000));
        assert_eq!(event["unmapped"]["index"], 7);
        for needed in ["metadata", "severity_id", "time", "unmapped"] {
            assert!(!event[needed].is_null(), "{needed}: {event}");
        }
    }
    for needed in ["actor", "api", "src_endpoint"] {
        assert!(!events[0][needed].is_null(), "{needed}");
    }
    assert!(
        events[1]["finding_info"]["title"]
            .as_str()
            .unwrap()
            .contains("injection")
    );
}

#[test]
fn an_event_has_the_fingerprint_of_itself() {
    let event = one(Format::Ocsf, &refusal("fetch", "no"));
    let mut event: serde_json::Value = serde_json::from_str(&event).unwrap();
    let print = event["unmapped"]["attestation"]["fingerprint"]["value"]
        .as_str()
        .unwrap()
        .to_owned();
    event["unmapped"]["attestation"]
        .as_object_mut()
        .unwrap()
        .remove("fingerprint");
    // All keys are ASCII and all numbers whole: sorted, this is RFC 8785.
    let text = sorted(&event).to_string();
    let digest = records::digest::sha256_text(text.as_bytes());
    assert_eq!(digest, format!("sha256:{print}"));
}

/// The same with the keys of every object in order, whatever order they are kept in.
fn sorted(value: &serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(members) => {
            let ordered: std::collections::BTreeMap<_, _> = members.iter().collect();
            ordered
                .into_iter()
                .map(|(key, value)| (key.clone(), sorted(value)))
                .collect()
        }
        serde_json::Value::Array(list) => list.iter().map(sorted).collect(),
        serde_json::Value::Bool(_)
        | serde_json::Value::Null
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => value.clone(),
    }
}

#[test]
fn who_is_not_let_in_is_authentication_and_life_signs_are_nothing() {
    let mut stranger = Entry::new(1, Kind::Refusal);
    stranger.stage = Some("authenticate".to_owned());
    stranger.decision = Some(Decision::Refuse);
    let event: serde_json::Value = serde_json::from_str(&one(Format::Ocsf, &stranger)).unwrap();
    assert_eq!(
        (event["class_uid"].as_u64(), event["status_id"].as_u64()),
        (Some(3002), Some(2))
    );
    assert!(!event["user"].is_null() && !event["service"].is_null());
    let alive = stored(&Entry::new(1, Kind::Heartbeat));
    assert!(lines(Format::Ocsf, ORIGIN, &alive).is_empty());
    assert!(lines(Format::Cef, ORIGIN, &alive).is_empty());
    assert_eq!(lines(Format::Json, ORIGIN, &alive).len(), 1, "all of it");
}

#[test]
fn a_request_of_otlp_holds_all_records() {
    let line = one(Format::Otlp, &refusal("fetch", "no")).into_bytes();
    let request: serde_json::Value =
        serde_json::from_slice(&body(Format::Otlp, &[line.clone(), line])).unwrap();
    let records = &request["resourceLogs"][0]["scopeLogs"][0]["logRecords"];
    assert_eq!(records.as_array().map(Vec::len), Some(2), "{request}");
    assert_eq!(records[0]["timeUnixNano"], "1763712000000000000");
    assert_eq!(records[0]["severityNumber"], 17);
    let attributes = records[0]["attributes"].as_array().unwrap();
    assert!(attributes.iter().any(|one| one["key"] == "gen_ai.tool.name"));
}

#[test]
fn every_event_is_of_the_published_subset() {
    use inspect::schema::{CompiledSchema, SchemaOptions};
    use wire::json::{Document, Keys};
    let read = |text: &[u8]| Document::parse(text.to_vec(), Keys::Exact, &wire::bounds::ANSWER).unwrap();
    let schema = read(include_bytes!(
        "../../../../../docs/reference/ocsf-events.schema.json"
    ));
    let schema = CompiledSchema::compile(schema.root(), &SchemaOptions::default()).unwrap();
    let mut seen = 0;
    for kind in Kind::ALL {
        for (stage, findings) in [
            (None, Vec::new()),
            (Some("authenticate"), refusal("a", "b").findings),
        ] {
            let entry = Entry {
                stage: stage.map(str::to_owned),
                findings,
                decision: stage.map(|_| Decision::Refuse),
                ..Entry::new(1_763_712_000_000, *kind)
            };
            for event in lines(Format::Ocsf, ORIGIN, &stored(&entry)) {
                let event = read(&event);
                let wrong = schema.check(event.root());
                assert!(wrong.is_empty(), "{kind:?}: {wrong:?} in {}", event.text());
                seen += 1;
            }
        }
    }
    assert!(seen > 20);
    // The schema can say no.
    assert!(!schema.check(read(b"{}").root()).is_empty());
}
