//! What a client may send wrong, on every wire: one set of cases, and the same answers. None of it reaches a server.

use e2e::every::{House, WIRES, Wire};
use serde_json::{Value, json};

/// Texts that are no message, or that two readers could read differently. `CALL` stands for the start of a call of
/// the tool that writes into the journal, up to its arguments.
const TEXTS: &[(&str, &str)] = &[
    (
        "a key twice",
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
    ),
    (
        "a key twice, once escaped",
        r#"CALL"arguments":{},"n\u0061me":"x"}}"#,
    ),
    (
        "an argument twice",
        r#"CALL"arguments":{"text":"a","text":"b"}}}"#,
    ),
    (
        "an argument twice, once escaped",
        r#"CALL"arguments":{"text":"a","te\u0078t":"b"}}}"#,
    ),
    (
        "an argument in two cases",
        r#"CALL"arguments":{"text":"a","Text":"b"}}}"#,
    ),
    ("long s", r#"CALL"arguments":{"secret":"a","\u017fecret":"b"}}}"#),
    (
        "the Kelvin sign",
        "CALL\"arguments\":{\"key\":\"a\",\"\u{212a}ey\":\"b\"}}}",
    ),
    (
        "a member of the envelope in another case",
        r#"{"jsonrpc":"2.0","id":1,"Method":"ping"}"#,
    ),
    (
        "a parameter in another case",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"Name":"x"}}"#,
    ),
    ("an infinite number", r#"CALL"arguments":{"n":1e400}}}"#),
    ("minus infinity", r#"CALL"arguments":{"n":-1e400}}}"#),
    ("NaN", r#"CALL"arguments":{"n":NaN}}}"#),
    ("Infinity", r#"CALL"arguments":{"n":Infinity}}}"#),
    ("a leading zero", r#"CALL"arguments":{"n":01}}}"#),
    ("a plus sign", r#"CALL"arguments":{"n":+1}}}"#),
    ("hexadecimal", r#"CALL"arguments":{"n":0x10}}}"#),
    ("a lone surrogate", r#"CALL"arguments":{"text":"\ud800"}}}"#),
    (
        "surrogates in the wrong order",
        r#"CALL"arguments":{"text":"\udc00\ud800"}}}"#,
    ),
    ("a byte order mark", "\u{feff}CALL\"arguments\":{}}}"),
    ("a comment", r#"CALL"arguments":{}/* x */}}"#),
    ("a line comment at the end", r#"CALL"arguments":{}}}//"#),
    ("trailing data", r#"CALL"arguments":{}}}{}"#),
    ("a trailing comma", r#"CALL"arguments":{},}}"#),
    ("single quotes", r#"CALL'arguments':{}}}"#),
    (
        "a control character",
        "CALL\"arguments\":{\"text\":\"a\u{1}b\"}}}",
    ),
    ("half a message", r#"CALL"arguments":{"#),
    ("a number", "42"),
    ("a text", r#""ping""#),
    ("nothing", "null"),
    ("another version", r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#),
    ("no version", r#"{"id":1,"method":"ping"}"#),
    ("neither method nor answer", r#"{"jsonrpc":"2.0","id":1}"#),
    (
        "a method and an answer",
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
    ),
    (
        "a method that is no text",
        r#"{"jsonrpc":"2.0","id":1,"method":1}"#,
    ),
    (
        "a method in another case",
        r#"{"jsonrpc":"2.0","id":1,"method":"Tools/Call"}"#,
    ),
    (
        "parameters in an array",
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#,
    ),
    (
        "an id that is null",
        r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
    ),
    (
        "an id that is a truth value",
        r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#,
    ),
    (
        "an id that is an object",
        r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
    ),
    (
        "an id with a fraction",
        r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
    ),
    (
        "an id with an exponent",
        r#"{"jsonrpc":"2.0","id":1e2,"method":"ping"}"#,
    ),
    (
        "an id no integer can hold",
        r#"{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"ping"}"#,
    ),
    ("a batch", r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#),
    ("an empty batch", "[]"),
];

/// Bytes that are no text.
const BYTES: &[(&str, &[u8])] = &[
    (
        "a stray byte",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"x\":\"\xff\"}",
    ),
    (
        "an overlong form",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"x\":\"\xc0\x80\"}",
    ),
    (
        "a surrogate in UTF-8",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"x\":\"\xed\xa0\x80\"}",
    ),
];

/// The code of an error; none of anything else.
fn code(answer: &Value) -> Option<i64> {
    answer["error"]["code"].as_i64()
}

/// A good call, so that it is seen that the connection goes on, and its id comes back as it was.
fn goes_on(wire: &mut Wire, id: &str, after: &str) {
    let call = wire.call(id, "journal", "{}");
    let answer = wire.ask(&call);
    assert!(answer["result"].is_object(), "{wire:?}, after {after}: {answer}");
    assert_eq!(answer["id"].to_string(), id, "{wire:?}, after {after}");
}

#[test]
fn what_is_no_message_is_refused_on_every_wire_and_reaches_nobody() {
    let house = House::new();
    let mut good = 0;
    for name in WIRES {
        let mut wire = house.connect(name).opened("2025-11-25");
        let start = wire.call("1", "journal", "{}").replace("\"arguments\":{}}}", "");
        for (what, text) in TEXTS {
            let answer = wire.ask(&text.replace("CALL", &start));
            let refused = matches!(code(&answer), Some(-32700 | -32600 | -32601 | -32602));
            assert!(refused, "{name}, {what}: {answer}");
        }
        // Text frames are text: what is not ends a WebSocket.
        for (what, bytes) in BYTES.iter().filter(|_| name != "WebSocket") {
            let answer = wire.ask_bytes(bytes);
            assert!(answer.contains("-32700"), "{name}, {what}: {answer}");
        }
        for (n, id) in ["7", "\"7\"", "\"\"", "-9007199254740993"]
            .into_iter()
            .enumerate()
        {
            goes_on(&mut wire, id, &format!("all that, call {n}"));
            good += 1;
        }
        assert_eq!(house.executed(), good, "{name}");
    }
}

#[test]
fn what_is_too_deep_too_many_or_too_long_is_refused_on_every_wire() {
    let house = House::new();
    let nested =
        |open: &str, close: &str, times: usize| format!("{}1{}", open.repeat(times), close.repeat(times));
    let texts = [
        ("arrays 200,000 deep", nested("[", "]", 200_000)),
        ("objects 200,000 deep", nested("{\"a\":", "}", 200_000)),
        ("3 million values", format!("[{}1]", "1,".repeat(2_999_999))),
        ("a long number", "1".repeat(100_000)),
        ("a long key", format!("{{\"{}\":1}}", "k".repeat(100_000))),
    ];
    let peak_kb = || house.gateway.memory_kb("VmHWM");
    for name in WIRES {
        let mut wire = house.connect(name).opened("2025-11-25");
        goes_on(&mut wire, "1", "nothing");
        let before_kb = peak_kb();
        for (what, text) in &texts {
            let call = wire.call("2", "journal", &format!("{{\"x\":{text}}}"));
            let answer = wire.ask(&call);
            assert_eq!(code(&answer), Some(-32700), "{name}, {what}: {answer}");
            goes_on(&mut wire, "3", what);
        }
        let grown_kb = peak_kb() - before_kb;
        assert!(grown_kb < 64 * 1024, "{name}: {grown_kb} KiB");
    }
}

#[test]
fn each_message_of_a_batch_is_decided_on_its_own_on_every_wire() {
    let house = House::new();
    for (n, name) in WIRES.into_iter().enumerate() {
        let mut wire = house.connect(name).opened("2025-03-26");
        let batch = [
            wire.call("1", "echo", r#"{"text":"first"}"#),
            r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#.to_owned(),
            wire.call("2", "nothing", "{}"),
            e2e::wires::initialize("2025-06-18").to_string(),
            r#"{"jsonrpc":"2.0","id":4,"method":"tools/destroy"}"#.to_owned(),
            r#"{"jsonrpc":"2.0","id":5,"id":6,"method":"ping"}"#.to_owned(),
            wire.call("\"1\"", "journal", "{}"),
        ];
        // The one with a key twice makes the whole text one that two readers could read differently.
        let answer = wire.ask(&format!("[{}]", batch.join(",")));
        assert_eq!(code(&answer), Some(-32700), "{name}: {answer}");
        assert_eq!(house.executed(), n, "{name}");
        let whole: Vec<_> = batch
            .iter()
            .filter(|text| !text.contains("\"id\":6"))
            .cloned()
            .collect();
        let answer = wire.ask(&format!("[{}]", whole.join(",")));
        let said = answer.as_array().expect("an array");
        let ids: Vec<_> = said.iter().map(|answer| answer["id"].clone()).collect();
        assert_eq!(
            ids,
            [json!(1), json!(2), json!(0), json!(4), json!("1")],
            "{name}: {answer}"
        );
        assert_eq!(said[0]["result"]["content"][0]["text"], json!("first"), "{name}");
        let codes: Vec<_> = said[1..4].iter().map(code).collect();
        assert_eq!(
            codes,
            [Some(-32602), Some(-32600), Some(-32601)],
            "{name}: {answer}"
        );
        assert_eq!(house.executed(), n + 1, "{name}");
        // Where nothing wants an answer, there is none.
        wire.tell(r#"[{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}]"#);
        let too_many = format!(
            "[{}]",
            vec![r#"{"jsonrpc":"2.0","id":9,"method":"ping"}"#; 65].join(",")
        );
        for wrong in ["[]", "[[]]", &too_many] {
            let answer = wire.ask(wrong);
            let first = answer.as_array().map_or(&answer, |answers| &answers[0]);
            assert_eq!(code(first), Some(-32600), "{name}, {wrong}: {answer}");
        }
        let answer = wire.ask(r#"{"jsonrpc":"2.0","id":10,"method":"ping"}"#);
        assert_eq!(
            (&answer["id"], &answer["result"]),
            (&json!(10), &json!({})),
            "{name}"
        );
    }
}

/// Over HTTP it was checked, and elsewhere carried out without capabilities, or taken for a message of a session.
#[test]
fn what_a_modern_request_says_of_itself_is_checked_on_every_wire() {
    let house = House::new();
    let texts = [
        ("no capabilities", r#""VERSION":"2026-07-28""#, -32602),
        (
            "capabilities that are no object",
            r#""VERSION":"2026-07-28","CAPABILITIES":"x""#,
            -32602,
        ),
        (
            "a version of tomorrow",
            r#""VERSION":"2027-01-01","CAPABILITIES":{}"#,
            -32022,
        ),
        (
            "a version of sessions",
            r#""VERSION":"2025-11-25","CAPABILITIES":{}"#,
            -32022,
        ),
        (
            "a version that is a number",
            r#""VERSION":5,"CAPABILITIES":{}"#,
            -32602,
        ),
    ];
    for name in WIRES {
        let mut wire = house.connect(name);
        for method in ["tools/list", "server/discover"] {
            for (what, meta, expected) in texts {
                let meta = meta
                    .replace("VERSION", "io.modelcontextprotocol/protocolVersion")
                    .replace("CAPABILITIES", "io.modelcontextprotocol/clientCapabilities");
                let answer = wire.ask(&format!(
                    r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"_meta":{{{meta}}}}}}}"#
                ));
                assert_eq!(
                    code(&answer),
                    Some(expected),
                    "{name}, {method}, {what}: {answer}"
                );
                if expected == -32022 {
                    let supported = answer["error"]["data"]["supported"].as_array().expect("versions");
                    assert!(supported.contains(&json!("2026-07-28")), "{name}: {answer}");
                }
            }
        }
        let answer = wire.ask(r#"{"jsonrpc":"2.0","id":1,"method":"server/discover"}"#);
        assert_eq!(code(&answer), Some(-32602), "{name}: {answer}");
    }
}

#[test]
fn nothing_but_a_ping_is_carried_before_there_is_a_session() {
    let house = House::new();
    for name in WIRES {
        let mut wire = house.connect(name);
        let early = wire.call("1", "journal", "{}");
        for text in [&early, r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#] {
            let answer = wire.ask(text);
            assert_eq!(code(&answer), Some(-32600), "{name}: {answer}");
            assert_eq!(answer["id"], json!(1), "{name}: {answer}");
        }
        let batch = wire.ask(&format!("[{early}]"));
        assert_eq!(code(&batch), Some(-32600), "{name}: {batch}");
        // Over Streamable HTTP a session is named by each request but the first, a ping, too.
        let answer = wire.ask(r#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#);
        let pinged = if name == "Streamable HTTP" {
            json!(null)
        } else {
            json!({})
        };
        assert_eq!(answer["result"], pinged, "{name}: {answer}");
        assert_eq!(house.executed(), 0, "{name}");
    }
}

/// Rules are about what a text reads as, not about how it is spelled.
#[test]
fn what_is_escaped_is_decided_on_as_it_reads() {
    let house = House::new();
    for (n, name) in WIRES.into_iter().enumerate() {
        let mut wire = house.connect(name).opened("2025-06-18");
        let spelled = |call: String| call.replace("never", r"n\u0065ver").replace("name", r"n\u0061me");
        if name != "stdio" {
            for call in [
                wire.call("1", "never", "{}"),
                spelled(wire.call("1", "never", "{}")),
            ] {
                let answer = wire.ask(&call);
                assert_eq!(code(&answer), Some(-32602), "{name}, {call}: {answer}");
            }
        }
        let call = wire
            .call("2", "journal", "{}")
            .replace("journal", r"\u006aournal");
        let answer = wire.ask(&call);
        assert!(answer["result"].is_object(), "{name}: {answer}");
        assert_eq!(house.executed(), n + 1, "{name}");
    }
}
