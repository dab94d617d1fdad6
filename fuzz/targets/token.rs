//! Tokens and key sets: nothing a stranger sends is a principal.
#![no_main]

use identity::{ResourceId, Secret, jose::{KeySet, SigningKey}, token::Verifier};
use libfuzzer_sys::fuzz_target;
use wire::{bounds::CREDENTIAL, json::{Document, Keys}};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(document) = Document::parse(bytes.to_vec(), Keys::Exact, &CREDENTIAL) {
        let _ = KeySet::read(document.root());
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let key = SigningKey::from_seed(&[7; 32]).expect("a seed");
    let verifier = Verifier::new("https://g".to_owned(), KeySet::of(vec![key.public()]));
    let audience = ResourceId::parse("https://g/mcp").expect("a resource");
    assert!(verifier.verify(&Secret::presented(text.to_owned()), &audience, 1_800_000_000_000).is_err());
});
