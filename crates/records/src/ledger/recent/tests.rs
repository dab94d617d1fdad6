//! What is remembered, and for how long.

use super::*;

#[test]
fn the_newest_entries_are_remembered_and_older_ones_are_not_promised() {
    let mut recent = Recent::default();
    let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
    assert_eq!(recent.of("a"), (vec![], None));
    recent.note(7, &a);
    recent.note(9, &b);
    assert_eq!(recent.of("a"), (vec![7], Some(7)));
    let many = u64::try_from(ENTRIES_MAX).unwrap();
    for index in 10..10 + many {
        recent.note(index, &b);
    }
    assert_eq!(recent.of("a"), (vec![], Some(10)));
    assert_eq!(recent.of("b").0.len(), ENTRIES_MAX);
}
