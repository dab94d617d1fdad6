//! Messages: what is accepted has one method, one id and one target, and the headers it implies agree with it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::{
    bounds::REQUEST,
    json::Keys,
    jsonrpc::Message,
    mcp::{Mirrored, target},
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = Message::parse(bytes.to_vec(), Keys::Folded, &REQUEST) else { return };
    let _ = target(&message);
    let _ = Mirrored { protocol_version: Some("2026-07-28"), method: Some("tools/call"), name: Some("x") }.agree(&message);
    let text = message.document().text().as_bytes().to_vec();
    let again = Message::parse(text, Keys::Folded, &REQUEST).expect("accepted once");
    assert_eq!(again.method(), message.method());
    assert_eq!(again.id(), message.id());
});
