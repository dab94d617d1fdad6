//! Token requests: forms, details and resource identifiers.
#![no_main]

use identity::{ResourceId, oauth::{Form, read_details}};
use libfuzzer_sys::fuzz_target;
use wire::{bounds::CREDENTIAL, json::{Document, Keys}};

fuzz_target!(|bytes: &[u8]| {
    let _ = Form::parse(bytes);
    if let Ok(document) = Document::parse(bytes.to_vec(), Keys::Folded, &CREDENTIAL) {
        let _ = read_details(document.root());
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(resource) = ResourceId::parse(text)
    {
        assert_eq!(ResourceId::parse(resource.as_str()), Ok(resource));
    }
});
