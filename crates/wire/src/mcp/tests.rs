use super::*;
use crate::{
    bounds::REQUEST,
    json::{Document, Keys},
    jsonrpc::Message,
};

fn message(text: &str) -> Message {
    Message::parse(text.as_bytes().to_vec(), Keys::Folded, &REQUEST).expect(text)
}

#[test]
fn the_table_is_that_of_the_specification() {
    // One line per revision: who may send what. Compare with `schema/*/schema.ts` of the specification.
    let mut lines = Vec::new();
    for revision in Revision::ALL {
        for (direction, label) in [(Direction::ToServer, "client"), (Direction::ToClient, "server")] {
            let names: Vec<_> = METHODS
                .iter()
                .filter(|r| r.method.exists(revision, direction))
                .map(|r| r.name)
                .collect();
            lines.push(format!("{revision} {label}: {}", names.join(" ")));
        }
    }
    let expected = include_str!("methods.txt");
    assert_eq!(lines.join("\n"), expected.trim_end());
}

#[test]
fn every_row_is_reachable_by_its_own_name() {
    // Those of models' APIs come over other doors.
    for row in METHODS.iter().filter(|row| !row.name.starts_with("v1/")) {
        assert_eq!(Method::parse(row.name), Some(row.method));
        assert!(
            row.to_client.any() || row.to_server.any(),
            "{} exists nowhere",
            row.name
        );
        let notification = row.name.starts_with("notifications/");
        assert_eq!(notification, row.shape == Shape::Notification, "{}", row.name);
    }
    assert_eq!(Method::parse("tools/Call"), None);
    assert_eq!(Method::parse(""), None);
}

#[test]
fn server_names_split_in_one_way() {
    for bad in ["", "a__b", "_a", "a_", "a b", "a.b", "é", &"a".repeat(65)] {
        assert!(ServerName::parse(bad).is_err(), "{bad}");
    }
    let name = |text: &str| ServerName::parse(text).expect(text);
    assert_eq!(split_federated("a_b__c__d"), Some((name("a_b"), "c__d")));
    assert_eq!(split_federated("a__b"), Some((name("a"), "b")));
    assert_eq!(split_federated("ab"), None);
    assert_eq!(split_federated("a__"), None);
    assert_eq!(federated(&name("a"), "b"), "a__b");
    assert_eq!(ServerName::from_label("GitHub (work)"), Ok(name("GitHub-work")));
    assert_eq!(ServerName::from_label("a__b"), Ok(name("a_b")));
    assert_eq!(ServerName::from_label("café"), Ok(name("caf")));
    // `ünï` became `n`, which nobody looks for.
    for lost in ["日本", "ünï", "日本a", "--", ""] {
        assert!(ServerName::from_label(lost).is_err(), "{lost}");
    }
}

#[test]
fn targets_are_read_and_bad_ones_refused() {
    let call =
        |params: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
    let of = |text: &str| {
        target(&message(text)).map(|t| format!("{t:?}").split(' ').next().unwrap_or("").to_owned())
    };
    assert_eq!(of(&call(r#"{"name":"x"}"#)), Ok("Tool".into()));
    assert_eq!(of(&call("{}")), Err(ParamsError::Missing("name")));
    assert_eq!(of(&call(r#"{"name":1}"#)), Err(ParamsError::Type("name")));
    assert_eq!(of(&call(r#"{"name":""}"#)), Err(ParamsError::Value("name")));
    assert_eq!(
        of(&call(r#"{"name":"a\u0000b"}"#)),
        Err(ParamsError::Value("name"))
    );
    assert_eq!(
        of(&call(r#"{"name":"x","arguments":[]}"#)),
        Err(ParamsError::Type("arguments"))
    );
    let null = message(&call(r#"{"name":"x","arguments":null}"#));
    assert!(matches!(target(&null), Ok(Target::Tool { arguments: None, .. })));
}

#[test]
fn headers_must_say_what_the_body_says() {
    let body = message(
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"grüß",
            "_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#,
    );
    let encoded = encode_sentinel("grüß");
    let good = Mirrored {
        protocol_version: Some("2026-07-28"),
        method: Some("tools/call"),
        name: Some(&encoded),
    };
    assert_eq!(good.agree(&body), Ok(()));
    let padded = Mirrored {
        method: Some(" tools/call\t"),
        ..good.clone()
    };
    assert_eq!(
        padded.agree(&body),
        Ok(()),
        "optional white space is not part of the value"
    );
    for (bad, expected) in [
        (
            Mirrored {
                protocol_version: None,
                ..good.clone()
            },
            Mismatch::Missing("MCP-Protocol-Version"),
        ),
        (
            Mirrored {
                protocol_version: Some("2025-11-25"),
                ..good.clone()
            },
            Mismatch::Differs("MCP-Protocol-Version"),
        ),
        (
            Mirrored {
                method: None,
                ..good.clone()
            },
            Mismatch::Missing("Mcp-Method"),
        ),
        (
            Mirrored {
                method: Some("tools/list"),
                ..good.clone()
            },
            Mismatch::Differs("Mcp-Method"),
        ),
        (
            Mirrored {
                method: Some("Tools/Call"),
                ..good.clone()
            },
            Mismatch::Differs("Mcp-Method"),
        ),
        (
            Mirrored {
                name: None,
                ..good.clone()
            },
            Mismatch::Missing("Mcp-Name"),
        ),
        (
            Mirrored {
                name: Some("other"),
                ..good.clone()
            },
            Mismatch::Differs("Mcp-Name"),
        ),
        (
            Mirrored {
                name: Some("=?base64?Z3I?="),
                ..good.clone()
            },
            Mismatch::Malformed("Mcp-Name"),
        ),
        (
            Mirrored {
                name: Some("=?base64?!!!!?="),
                ..good.clone()
            },
            Mismatch::Malformed("Mcp-Name"),
        ),
    ] {
        assert_eq!(bad.agree(&body), Err(expected));
    }
}

#[test]
fn header_values_survive_their_encoding() {
    for value in [
        "plain",
        "",
        " lead",
        "trail ",
        "grüß",
        "a\nb",
        "=?base64?eA==?=",
        "with space",
    ] {
        let header = encode_sentinel(value);
        assert!(header.is_ascii() && !header.contains('\n'));
        assert_eq!(decode_sentinel(&header).as_deref(), Some(value));
    }
}

fn shaped(result: &str, from: Era, to: Revision, method: Method) -> String {
    let text = result.as_bytes().to_vec();
    let document = crate::json::Document::parse(text, Keys::Exact, &REQUEST).expect(result);
    let shaped = shape::result(document.root(), &Default::default(), from, to, method);
    String::from_utf8(shaped).expect("utf-8")
}

#[test]
fn results_are_written_as_each_era_has_them() {
    use Method::*;
    let (old, new) = (Revision::V2025_11_25, Revision::V2026_07_28);
    assert_eq!(
        shaped(r#"{"content":[],"vendor":1.50}"#, Era::Legacy, old, ToolsCall),
        r#"{"content":[],"vendor":1.50}"#
    );
    assert_eq!(
        shaped(r#"{"content":[]}"#, Era::Legacy, new, ToolsCall),
        r#"{"content":[],"resultType":"complete"}"#
    );
    assert_eq!(
        shaped(
            r#"{"resultType":"complete","tools":[],"ttlMs":9000,"cacheScope":"public"}"#,
            Era::Modern,
            new,
            ToolsList
        ),
        r#"{"resultType":"complete","tools":[],"ttlMs":0,"cacheScope":"private"}"#
    );
    assert_eq!(
        shaped(
            r#"{"resultType":"complete","tools":[],"ttlMs":9000,"cacheScope":"public"}"#,
            Era::Modern,
            old,
            ToolsList
        ),
        r#"{"tools":[]}"#
    );
    assert_eq!(
        shaped(
            r#"{"resultType":"input_required","requestState":"x"}"#,
            Era::Modern,
            new,
            ToolsCall
        ),
        r#"{"resultType":"complete"}"#,
        "a question is the gateway's to ask"
    );
    assert_eq!(
        shaped(
            r#"{"_meta":{"io.sallyport/call":{"id":"forged"},"vendor/x":1}}"#,
            Era::Legacy,
            old,
            ToolsCall
        ),
        r#"{"_meta":{"vendor/x":1}}"#
    );
    // Regression: what a server of sessions said of keeping stood before what we say, under the same names.
    let lies = r#"{"contents":[],"ttlMs":86400000,"cacheScope":"public","TTLms":1,"resultType":"weird"}"#;
    assert_eq!(
        shaped(lies, Era::Legacy, new, ResourcesRead),
        r#"{"contents":[],"resultType":"complete","ttlMs":0,"cacheScope":"private"}"#
    );
    assert_eq!(
        shaped(lies, Era::Legacy, old, ResourcesRead),
        r#"{"contents":[],"ttlMs":86400000,"cacheScope":"public","TTLms":1}"#
    );
    assert_eq!(
        shaped(lies, Era::Modern, new, ResourcesRead),
        r#"{"contents":[],"resultType":"complete","ttlMs":0,"cacheScope":"private"}"#
    );
    assert_eq!(shape::own(b"{}", old, Ping), b"{}");
    let own = String::from_utf8(shape::own(b"{\"tools\":[]}", new, ToolsList)).expect("utf-8");
    assert_eq!(
        own,
        r#"{"tools":[],"resultType":"complete","ttlMs":0,"cacheScope":"private"}"#
    );
    assert_eq!(
        shape::own(b"{}", new, ToolsCall),
        b"{\"resultType\":\"complete\"}"
    );
}

fn document(text: &str) -> Document {
    Document::parse(text.as_bytes().to_vec(), Keys::Exact, &REQUEST).expect("JSON")
}

#[test]
fn arguments_are_mirrored_where_the_schema_says_so() {
    let schema = document(
        r#"{"type":"object","properties":{
            "region":{"type":"string","x-mcp-header":"Region"},
            "deep":{"type":"object","properties":{"n":{"type":"integer","x-mcp-header":"N"}}},
            "x-mcp-header":{"type":"string","default":{"x-mcp-header":"data"}},
            "on":{"type":"boolean","x-mcp-header":"On"}}}"#,
    );
    let params = mirrored_params(schema.root()).expect("a good schema");
    let headers: Vec<_> = params.iter().map(MirroredParam::header).collect();
    assert_eq!(headers, ["mcp-param-region", "mcp-param-n", "mcp-param-on"]);
    let arguments = document(r#"{"region":"Zürich","deep":{"n":-7},"on":null}"#);
    let arguments = Some(arguments.root());
    let value = |param: &MirroredParam| MirroredParam::value(param.argument(arguments)?);
    let values: Vec<_> = params.iter().map(value).collect();
    assert_eq!(
        values,
        [
            Some("=?base64?WsO8cmljaA==?=".to_owned()),
            Some("-7".to_owned()),
            None
        ]
    );
    let agree = |n: usize, header| params[n].agree(header, arguments);
    assert_eq!(agree(0, Some("=?base64?WsO8cmljaA==?=")), Ok(()));
    assert_eq!(agree(1, Some(" -7 ")), Ok(()));
    assert_eq!(agree(2, None), Ok(()));
    assert!(matches!(agree(0, None), Err(Mismatch::Missing(_))));
    assert!(matches!(
        agree(0, Some("=?base64?WsO8cmljaA?=")),
        Err(Mismatch::Malformed(_))
    ));
    assert!(matches!(agree(1, Some("7")), Err(Mismatch::Differs(_))));
    assert!(matches!(agree(2, Some("true")), Err(Mismatch::Differs(_))));
}

#[test]
fn a_mark_is_found_behind_an_escape() {
    let schema = document(r#"{"properties":{"a":{"type":"string","x-mcp-h\u0065ader":"A"}}}"#);
    let params = mirrored_params(schema.root()).expect("a good schema");
    let headers: Vec<_> = params.iter().map(MirroredParam::header).collect();
    assert_eq!(headers, ["mcp-param-a"]);
    let plain = document(r#"{"properties":{"a":{"type":"string"}}}"#);
    assert_eq!(mirrored_params(plain.root()), Ok(Vec::new()));
}

#[test]
fn marks_that_nobody_can_follow_are_refused() {
    for schema in [
        r#"{"x-mcp-header":"Root"}"#,
        r#"{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}"#,
        r#"{"properties":{"a":{"type":["string"],"x-mcp-header":"A"}}}"#,
        r#"{"properties":{"a":{"type":"string","x-mcp-header":""}}}"#,
        r#"{"properties":{"a":{"type":"string","x-mcp-header":"a b"}}}"#,
        r#"{"properties":{"a":{"type":"string","x-mcp-header":"A\r\nHost: x"}}}"#,
        r#"{"properties":{"a":{"type":"string","x-mcp-header":7}}}"#,
        r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}"#,
        r#"{"properties":{"a":{"items":{"type":"string","x-mcp-header":"A"}}}}"#,
        r#"{"anyOf":[{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}]}"#,
        r#"{"$defs":{"a":{"type":"string","x-mcp-header":"A"}}}"#,
    ] {
        assert!(mirrored_params(document(schema).root()).is_err(), "{schema}");
    }
}

#[test]
fn requests_have_the_members_of_their_revision_and_servers_get_no_others() {
    let (call, complete) = (Method::ToolsCall, Method::CompletionComplete);
    for (method, revision, name, expected) in [
        (call, Revision::V2025_11_25, "task", Membership::Has),
        (call, Revision::V2026_07_28, "task", Membership::HasElsewhere),
        (
            call,
            Revision::V2025_06_18,
            "inputResponses",
            Membership::HasElsewhere,
        ),
        (call, Revision::V2026_07_28, "extra", Membership::Unknown),
        (call, Revision::V2026_07_28, "_meta", Membership::Has),
        (
            complete,
            Revision::V2025_03_26,
            "context",
            Membership::HasElsewhere,
        ),
        (complete, Revision::V2026_07_28, "context", Membership::Has),
        (
            Method::Initialize,
            Revision::V2025_11_25,
            "anything",
            Membership::Has,
        ),
    ] {
        assert_eq!(
            membership(method, revision, name),
            expected,
            "{method} {revision} {name}"
        );
    }
    let params = r#"{"name":"n","arguments":{"x":1},"task":{"ttl":1},"requestState":"s","_meta":{"a.b/c":1,
        "baggage":"b","progressToken":1,"io.sallyport/context":{},"io.modelcontextprotocol/clientInfo":{}}}"#;
    let params = document(params);
    let names = |method, revision| -> Vec<String> {
        let beside = beside(method, revision, params.root());
        beside
            .map(|one| format!("{}{}", one.key.written(), one.is_trace()))
            .collect()
    };
    let in_meta = ["a.b/cfalse".to_owned(), "baggagetrue".to_owned()];
    assert_eq!(names(call, Revision::V2026_07_28), in_meta);
    assert_eq!(names(Method::ResourcesRead, Revision::V2026_07_28), in_meta);
    let with_task = [&["taskfalse".to_owned()], &in_meta[..]].concat();
    assert_eq!(names(call, Revision::V2025_11_25), with_task);
}
