use super::*;
use crate::bounds::REQUEST;

fn parse(text: &str) -> Result<Message, MessageError> {
    Message::parse(text.as_bytes().to_vec(), Keys::Folded, &REQUEST).map_err(|e| e.error)
}

#[test]
fn the_envelope_is_strict() {
    for text in [
        r#""hello""#,
        r#"{"jsonrpc":"2.0"}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        r#"{"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":5}"#,
        r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1e0,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":99999999999999999999,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","extra":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":5}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"params":{}}"#,
        r#"{"jsonrpc":"2.0","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":"1","message":""}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":1.5,"message":""}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":"x"}"#,
    ] {
        let refused = parse(text);
        assert!(
            matches!(refused, Err(MessageError::Envelope(_) | MessageError::Id(_))),
            "{text}"
        );
    }
    let long = "x".repeat(ID_BYTES_MAX + 1);
    assert!(parse(&format!(r#"{{"jsonrpc":"2.0","id":"{long}","method":"ping"}}"#)).is_err());
}

#[test]
fn spellings_some_parsers_would_accept_are_refused() {
    for text in [
        r#"{"jsonrpc":"2.0","id":1,"Method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","PARAMS":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"Name":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","argument\u017f":{}}}"#,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"x\",\"tas\u{212a}\":{}}}",
    ] {
        assert!(
            matches!(parse(text), Err(MessageError::CaseVariant(..))),
            "{text}"
        );
    }
}

#[test]
fn an_unknown_method_is_no_method_but_keeps_its_id() {
    let refused = Message::parse(
        br#"{"jsonrpc":"2.0","id":"a","method":"tools/Call"}"#.to_vec(),
        Keys::Folded,
        &REQUEST,
    )
    .expect_err("unknown");
    assert_eq!(refused.id, Some(Id::String("a".into())));
    assert_eq!(refused.error.code(), code::METHOD_NOT_FOUND);
    assert!(matches!(refused.error, MessageError::UnknownMethod(name) if name == "tools/Call"));
}

#[test]
fn ids_keep_their_type() {
    let id = |text: &str| {
        parse(&format!(r#"{{"jsonrpc":"2.0","id":{text},"method":"ping"}}"#)).map(|m| m.id().cloned())
    };
    assert_eq!(id("1"), Ok(Some(Id::Integer(1))));
    assert_eq!(id("\"1\""), Ok(Some(Id::String("1".into()))));
    assert_ne!(id("1"), id("\"1\""));
    assert_eq!(id("-5"), Ok(Some(Id::Integer(-5))));
    assert_eq!(id("\"\""), Ok(Some(Id::String(String::new()))));
}

#[test]
fn arrays_are_batches_and_refused_here() {
    assert_eq!(parse("[]").err(), Some(MessageError::Batch));
    assert_eq!(
        parse(r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#).err(),
        Some(MessageError::Batch)
    );
}

#[test]
fn the_messages_of_a_batch_are_read_each_for_itself() {
    let batch = |text: &str| super::batch(text.as_bytes().to_vec(), Keys::Folded, &REQUEST);
    let read = batch(r#" [{"jsonrpc":"2.0","id":1,"method":"ping"}, 7, []]"#).expect("an array");
    assert!(matches!(&read[0], Ok(Message::Request(request)) if *request.id() == Id::Integer(1)));
    assert!(matches!(&read[1], Err(refused) if matches!(refused.error, MessageError::Envelope(_))));
    assert!(matches!(&read[2], Err(refused) if refused.error == MessageError::Batch));
    assert!(batch("{}").is_err() && batch("[").is_err());
    assert!(matches!(batch("[]"), Err(refused) if refused.error == MessageError::BatchSize(0)));
    let many = |n: usize| format!("[{}]", vec!["1"; n].join(","));
    assert_eq!(batch(&many(64)).map(|read| read.len()), Ok(64));
    assert!(batch(&many(65)).is_err());
}

#[test]
fn answers_are_read() {
    let Ok(Message::Response(response)) = parse(r#"{"jsonrpc":"2.0","id":1,"result":{"a":1}}"#) else {
        panic!("a response")
    };
    assert!(matches!(response.answer(), Answer::Result(result) if result.get("a").is_some()));
    let Ok(Message::Response(response)) =
        parse(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"m"}}"#)
    else {
        panic!("a response")
    };
    assert_eq!(response.id(), None);
    assert!(matches!(response.answer(), Answer::Error(error) if error.get("code").is_some()));
}

#[test]
fn what_is_written_can_be_read() {
    let written = request(&Id::String("q\"".into()), Method::ToolsCall, |params| {
        params.string("name", "t")
    });
    let Ok(Message::Request(read)) = parse(&String::from_utf8(written).expect("utf-8")) else {
        panic!("a request")
    };
    assert_eq!(read.id(), &Id::String("q\"".into()));
    assert!(
        read.params()
            .and_then(|p| p.get("name"))
            .is_some_and(|n| n.is_str("t"))
    );
    let written = error(None, code::PARSE_ERROR, "m", Some(b"{\"x\":1}"));
    assert_eq!(
        String::from_utf8(written).expect("utf-8"),
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m","data":{"x":1}}}"#
    );
}
