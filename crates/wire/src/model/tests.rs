//! Requests, answers and streams of the models' APIs.

use serde_json::{Value, json};

use super::{Api, ModelError, answer, failure, read, refused, request, stream, tokens, write};
use crate::{
    bounds::ANSWER,
    framing::EventReader,
    json::{Document, Edits, Keys},
    jsonrpc::{self, Message},
    mcp::{Direction, METHODS, Revision},
};

fn message(api: Api, body: &Value) -> Message {
    request(api.method(), body.to_string().as_bytes()).expect("a message")
}

fn reads(api: Api, body: &Value) -> Result<(usize, usize), ModelError> {
    let message = message(api, body);
    let found = read(api, message.params().expect("parameters"))?;
    Ok((found.results.len(), found.media.len()))
}

fn events(text: &[u8]) -> Vec<(String, String)> {
    let mut events = Vec::new();
    let mut reader = EventReader::new(1 << 20);
    let each = |event: crate::framing::Event| {
        events.push((event.name, String::from_utf8(event.data).expect("text")));
    };
    reader.push(text, each).expect("events");
    events
}

/// A body is put into an envelope; none can end the envelope before its time or add to it.
#[test]
fn a_body_is_one_object_and_nothing_else() {
    for body in [
        "",
        "[]",
        "null",
        "{} {}",
        "{},\"id\":7",
        "{},\"x\":7",
        "{},\"error\":{}",
        "{},\"params\":{}",
        "{}}",
        "{}}{",
        "{\"model\":\"a\",\"model\":\"b\"}",
        "{\"model\":\"a\",\"Model\":\"b\"}",
        "{\"Tools\":[]}",
        "{\"model\":\"\\ud800\"}",
    ] {
        assert!(request(Api::Chat.method(), body.as_bytes()).is_err(), "{body}");
        let said = answer(Api::Chat, body.as_bytes());
        assert!(said.is_err(), "{body}: {said:?}");
    }
}

#[test]
fn no_revision_has_these_methods() {
    for row in METHODS.iter().filter(|row| row.name.starts_with("v1/")) {
        for revision in Revision::ALL {
            for direction in [Direction::ToClient, Direction::ToServer] {
                assert!(!row.method.exists(revision, direction), "{}", row.name);
            }
        }
    }
}

#[test]
fn results_of_tools_are_told_from_the_callers_words() {
    let chat = json!({"model": "m", "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "hi"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function",
            "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "1", "content": "said"},
        {"role": "tool", "tool_call_id": "2", "content": [{"type": "text", "text": "said"}]}]});
    assert_eq!(reads(Api::Chat, &chat), Ok((2, 1)));
    let responses = json!({"model": "m", "input": [
        {"role": "user", "content": "hi"},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "AAAA"},
        {"type": "function_call_output", "call_id": "1", "output": "said"}]});
    assert_eq!(reads(Api::Responses, &responses), Ok((1, 1)));
    assert_eq!(
        reads(Api::Responses, &json!({"model": "m", "input": "hi"})),
        Ok((0, 0))
    );
    let messages = json!({"model": "m", "max_tokens": 9, "system": "be brief", "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {"type": "x"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "said"},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "said"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}]}]});
    assert_eq!(reads(Api::Messages, &messages), Ok((2, 1)));
}

/// What the provider would run, fetch or have kept.
#[test]
fn what_stands_elsewhere_is_not_taken() {
    let chat = |member: &str, value: Value| {
        let mut body = json!({"model": "m", "messages": []});
        body[member] = value;
        (Api::Chat, body)
    };
    let said = |part: Value| chat("messages", json!([{"role": "user", "content": [part]}]));
    let responses = |member: &str, value: Value| {
        let mut body = json!({"model": "m", "input": "hi"});
        body[member] = value;
        (Api::Responses, body)
    };
    let item = |item: Value| responses("input", json!([item]));
    let messages = |member: &str, value: Value| {
        let mut body = json!({"model": "m", "max_tokens": 9, "messages": []});
        body[member] = value;
        (Api::Messages, body)
    };
    let block = |block: Value| messages("messages", json!([{"role": "user", "content": [block]}]));
    for (api, body) in [
        chat("tools", json!([{"type": "web_search"}])),
        chat("tools", json!([{"type": 7}])),
        chat("web_search_options", json!({})),
        chat("modalities", json!(["text", "audio"])),
        chat("messages", json!([{"role": "assistant", "audio": {"id": "a"}}])),
        said(json!({"type": "image_url", "image_url": {"url": "https://example.com/?q=secret"}})),
        said(json!({"type": "file", "file": {"file_id": "f"}})),
        said(json!({"type": "video"})),
        chat("messages", json!([{"role": "observation", "content": "hi"}])),
        chat("messages", json!([{"Role": "tool", "content": "hi"}])),
        responses(
            "tools",
            json!([{"type": "mcp", "server_url": "https://example.com"}]),
        ),
        responses("previous_response_id", json!("resp_1")),
        responses("conversation", json!("conv_1")),
        responses("prompt", json!({"id": "pmpt_1"})),
        responses("background", json!(true)),
        item(json!({"type": "item_reference", "id": "r"})),
        item(json!({"role": "user", "content": [{"type": "input_image", "file_id": "f"}]})),
        item(
            json!({"role": "user", "content": [{"type": "input_image", "image_url": "https://example.com"}]}),
        ),
        item(json!({"role": "user", "content": [{"type": "input_file", "file_url": "https://example.com"}]})),
        item(json!({"type": "function_call_output", "call_id": "1",
            "output": [{"type": "input_image", "image_url": "https://example.com"}]})),
        messages(
            "tools",
            json!([{"type": "web_search_20250305", "name": "web_search"}]),
        ),
        messages(
            "mcp_servers",
            json!([{"type": "url", "url": "https://example.com"}]),
        ),
        messages("container", json!("c")),
        block(json!({"type": "image", "source": {"type": "url", "url": "https://example.com"}})),
        block(json!({"type": "document", "source": {"type": "file", "file_id": "f"}})),
        block(json!({"type": "container_upload", "file_id": "f"})),
        block(json!({"type": "tool_result", "tool_use_id": "1",
            "content": [{"type": "image", "source": {"type": "url", "url": "https://example.com"}}]})),
        block(
            json!({"type": "tool_result", "tool_use_id": "1", "content": [{"type": "search_result",
            "content": [{"type": "image", "source": {"type": "url", "url": "https://example.com"}}]}]}),
        ),
    ] {
        let found = reads(api, &body);
        assert!(
            matches!(found, Err(ModelError::Elsewhere(..))),
            "{body}: {found:?}"
        );
    }
}

/// Some providers go to other models, to plug-ins or to the web by members of their own.
#[test]
fn members_nobody_knows_are_not_taken() {
    for name in [
        "api_base",
        "fallbacks",
        "models",
        "plugins",
        "provider",
        "search_parameters",
        "ſtream",
    ] {
        let mut body = json!({"model": "m", "messages": [], "temperature": 0.5, "n": 2, "seed": 7, "logprobs": true,
            "response_format": {"type": "json_object"}, "container": null});
        assert_eq!(reads(Api::Chat, &body), Ok((0, 0)));
        body[name] = json!([{"id": "web"}]);
        let refused = request(Api::Chat.method(), body.to_string().as_bytes()).is_err();
        assert!(refused || reads(Api::Chat, &body).is_err(), "{name}");
    }
}

#[test]
fn a_search_result_is_anothers_words_whole() {
    let said = json!({"type": "search_result", "source": "https://example.com", "title": "said",
        "content": [{"type": "text", "text": "said"}]});
    let body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [said]}]});
    let message = message(Api::Messages, &body);
    let found = read(Api::Messages, message.params().expect("parameters")).expect("a conversation");
    assert!(found.results[0].get("title").is_some());
}

#[test]
fn what_is_sent_is_what_was_judged_under_the_providers_name() {
    let body = json!({"model": "fast", "_meta": {"x": 1}, "stream": true, "stream_options": {}, "store": true,
        "temperature": 0.5, "input": "hi"});
    let message = message(Api::Responses, &body);
    let sent = write(
        Api::Responses,
        message.params().expect("parameters"),
        &Edits::default(),
        "vendor-1",
    );
    let sent: Value = serde_json::from_slice(&sent).expect("JSON");
    let wanted = json!({"model": "vendor-1", "temperature": 0.5, "input": "hi", "store": false});
    assert_eq!(sent, wanted);
}

fn document(value: &Value) -> Document {
    Document::parse(value.to_string().into_bytes(), Keys::Exact, &ANSWER).expect("JSON")
}

#[test]
fn tokens_are_what_the_answer_says() {
    for (usage, input, output) in [
        (
            json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}),
            3,
            4,
        ),
        (
            json!({"input_tokens": 3, "cache_read_input_tokens": 5, "output_tokens": 4}),
            8,
            4,
        ),
        (json!({"input_tokens": -3, "output_tokens": 1.5}), 0, 0),
    ] {
        let document = document(&json!({"usage": usage}));
        let found = tokens(document.root()).expect("tokens");
        assert_eq!((found.input, found.output), (input, output), "{usage}");
    }
    assert_eq!(tokens(document(&json!({})).root()), None);
}

#[test]
fn a_providers_refusal_keeps_its_words() {
    let body = json!({"type": "error", "error": {"type": "invalid_request_error", "message": "too long"}});
    let response = refused(400, body.to_string().as_bytes()).expect("a response");
    let jsonrpc::Answer::Error(error) = response.answer() else {
        panic!("it is an error");
    };
    assert!(
        error
            .get("message")
            .is_some_and(|message| message.is_str("too long"))
    );
    assert!(refused(400, b"<html>").is_some(), "whatever it says");
}

#[test]
fn a_chat_is_streamed_whole_and_ends() {
    let whole = json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": "hi",
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2}});
    let said = events(&stream(Api::Chat, document(&whole).root(), true));
    let chunks: Vec<Value> = said
        .iter()
        .filter_map(|(_, data)| serde_json::from_str(data).ok())
        .collect();
    assert_eq!(said.last().map(|(_, data)| data.as_str()), Some("[DONE]"));
    assert_eq!(chunks.len(), 3);
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk["object"] == "chat.completion.chunk")
    );
    assert_eq!(chunks[0]["choices"][0]["delta"]["tool_calls"][0]["index"], 0);
    assert_eq!(chunks[1]["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(chunks[2]["usage"]["completion_tokens"], 2);
    assert_eq!(
        events(&stream(Api::Chat, document(&whole).root(), false)).len(),
        3
    );
}

/// A provider cannot have the gateway write a thousand times what it said.
#[test]
fn a_stream_is_not_much_longer_than_its_answer() {
    let choices = |n: usize| json!({"id": "c", "note": "x".repeat(10_000), "choices": vec![json!({}); n]});
    let whole = choices(1000);
    let said = stream(Api::Chat, document(&whole).root(), false);
    assert!(said.len() < 1_000_000, "{}", said.len());
    for body in [choices(5000), json!({"choices": [{"content": vec![1; 5000]}]})] {
        let said = answer(Api::Chat, body.to_string().as_bytes());
        assert!(said.is_err_and(|why| why.contains("parts")));
    }
}

#[test]
fn messages_and_responses_begin_and_end_as_their_apis_have_it() {
    let whole = json!({"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use",
        "stop_sequence": null, "usage": {"input_tokens": 1, "output_tokens": 2},
        "content": [{"type": "text", "text": "hi"}, {"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}}]});
    let said = events(&stream(Api::Messages, document(&whole).root(), false));
    let names: Vec<_> = said.iter().map(|(name, _)| name.as_str()).collect();
    let block = ["content_block_start", "content_block_delta", "content_block_stop"];
    let wanted = [
        &["message_start"],
        &block[..],
        &block[..],
        &["message_delta", "message_stop"],
    ]
    .concat();
    assert_eq!(names, wanted);
    assert!(said[5].1.contains(r#"{\"a\":1}"#), "{}", said[5].1);

    let whole = json!({"id": "r", "object": "response", "status": "completed", "model": "m", "output": [
        {"type": "message", "id": "i", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": "hi", "annotations": []}]},
        {"type": "function_call", "id": "j", "call_id": "1", "name": "f", "arguments": "{}"}]});
    let said = events(&stream(Api::Responses, document(&whole).root(), false));
    assert_eq!(
        said.first().map(|(name, _)| name.as_str()),
        Some("response.created")
    );
    assert_eq!(
        said.last().map(|(name, _)| name.as_str()),
        Some("response.completed")
    );
    for (n, (name, data)) in said.iter().enumerate() {
        let data: Value = serde_json::from_str(data).expect("JSON");
        assert_eq!(
            (&data["type"], &data["sequence_number"]),
            (&json!(name), &json!(n))
        );
    }
}

#[test]
fn a_failure_is_each_apis_own() {
    let error = json!({"type": "permission_error", "message": "no", "code": "not-permitted"});
    let document = document(&error);
    let chat = events(&failure(Api::Chat, document.root()));
    assert!(
        chat[0].1.starts_with(r#"{"error":{"#) && chat[0].0.is_empty(),
        "{chat:?}"
    );
    for api in [Api::Messages, Api::Responses] {
        let said = events(&failure(api, document.root()));
        assert!(
            said[0].0 == "error" && said[0].1.contains(r#""error":{"#),
            "{said:?}"
        );
    }
}

#[test]
fn what_is_counted_is_read_as_what_is_said() {
    let conversation = json!({"model": "m", "messages": [{"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "t", "content": "a page"}]}]});
    assert_eq!(
        reads(Api::Tokens, &conversation),
        reads(Api::Messages, &conversation)
    );
    assert_eq!(reads(Api::Tokens, &conversation), Ok((1, 0)));
    let fetched = json!({"model": "m", "messages": [{"role": "user", "content": [
        {"type": "image", "source": {"type": "url", "url": "https://x.example/"}}]}]});
    assert!(reads(Api::Tokens, &fetched).is_err());
    let served = json!({"model": "m", "messages": [], "mcp_servers": [{"url": "https://x.example/"}]});
    assert!(reads(Api::Tokens, &served).is_err());
    for (body, good) in [
        (r#"{"input_tokens": 7}"#, true),
        (r#"{"input_tokens": "7"}"#, false),
        (r#"{"input_tokens": -7}"#, false),
        (r#"{"content": []}"#, false),
    ] {
        assert_eq!(answer(Api::Tokens, body.as_bytes()).is_ok(), good, "{body}");
    }
    assert_eq!(Api::of(Api::Tokens.method()), Some(Api::Tokens));
}
