//! Rules: whatever is read decides without a panic, and a rule that fails refuses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use policy::rules::{RuleSet, RuleSource};

fuzz_target!(|text: &str| {
    if text.len() < 4096 {
        let _ = RuleSet::parse(&[RuleSource { name: "fuzz".to_owned(), text: text.to_owned() }]);
    }
});
