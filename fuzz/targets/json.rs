//! Whatever the reader accepts, it can write and read again to the same value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::{
    bounds::REQUEST,
    json::{Document, Keys, Pointer, Writer, canonical},
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = Document::parse(bytes.to_vec(), Keys::Folded, &REQUEST) else { return };
    let root = document.root();
    let mut writer = Writer::default();
    writer.node(root);
    let again = Document::parse(writer.into_bytes(), Keys::Folded, &REQUEST).expect("what was written is strict");
    assert_eq!(canonical(root), canonical(again.root()));
    let canonical_text = canonical(root);
    let twice = Document::parse(canonical_text.clone(), Keys::Folded, &REQUEST).expect("canonical text is strict");
    assert_eq!(canonical_text, canonical(twice.root()));
    for node in root.walk().take(64) {
        if let Some(pointer) = Pointer::to(root, node) {
            assert!(pointer.find(root).is_some());
        }
    }
});
