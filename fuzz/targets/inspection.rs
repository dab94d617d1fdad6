//! Content: detectors never panic, and findings point into the text.
#![no_main]

use std::sync::OnceLock;

use inspect::{Inspector, Settings, Surface};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    static INSPECTOR: OnceLock<Inspector> = OnceLock::new();
    let inspector = INSPECTOR.get_or_init(|| Inspector::new(&Settings::default()).expect("the shipped settings"));
    for finding in &inspector.inspect_text(text, Surface::Result) {
        let span = finding.location.span.clone();
        assert!(text.get(span).is_some(), "{finding:?}");
    }
});
