//! Keys.

use super::*;
use crate::ambient::Random;

#[test]
fn a_secret_does_not_print() {
    let secret = Secret::new(b"hunter2".to_vec());
    assert_eq!(format!("{secret:?}"), "Secret(hidden)");
}

#[test]
fn a_logs_keys_print_their_public_halves_only() {
    let keys = LogKeys::generate("log.example", &Random::system()).unwrap();
    let shown = format!("{keys:?}");
    assert!(shown.contains("log.example+"), "{shown}");
    assert!(!shown.contains("seed"), "{shown}");
}

#[test]
fn a_log_whose_name_cannot_stand_in_a_note_gets_no_keys() {
    for name in ["", "two words", "plus+sign", "line\nbreak"] {
        assert!(LogKeys::generate(name, &Random::system()).is_err(), "{name:?}");
    }
}
