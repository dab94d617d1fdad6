//! Signatures of requests: no header a stranger sends proves anything.
#![no_main]

use identity::{
    jose::SigningKey,
    signature::{BodyDigests, Message, Signature},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.lines().map(|line| Some(line.to_owned()));
    let mut field = |name: &str| (name.to_owned(), lines.next().flatten());
    let message = Message {
        method: "POST".to_owned(),
        base: "https://g".to_owned(),
        path: "/mcp".to_owned(),
        query: None,
        fields: vec![field("signature-input"), field("signature"), field("content-digest")],
        body: BodyDigests::of(bytes),
    };
    let key = SigningKey::from_seed(&[7; 32]).expect("a seed").public();
    if let Ok(signature) = Signature::of(&message) {
        assert!(signature.verify(&message, &key, 1_800_000_000_000).is_err());
    }
});
