//! Rows of counted tables: whoever has no key takes none away, and tables of before are held from then on.

use super::{ALICE, Case, Due, Expect, Owner, Random, State, StateError, clock, ring, value};
use crate::{
    digest::{from_hex, hex},
    keys::{
        Use,
        seal::{open, seal},
    },
};

/// What the tables of a program of before must not have been called by.
const OLD_PLACE: &[u8] = b"sallyport-index-key/1";

fn refused(case: &Case) -> StateError {
    case.try_open().expect_err("rows are missing")
}

pub(super) fn rows_that_were_deleted_or_put_back_are_missed(case: &mut Case) {
    let state = case.open();
    for (table, key) in [("counted", "a"), ("counted", "b"), ("free", "a")] {
        state
            .put(Owner::Platform, table, key, b"value", Expect::Any)
            .unwrap();
    }
    drop(state);
    let row = |what: &str| format!("SELECT {what} FROM record WHERE tbl = 'counted' AND key = 'b'");
    let before = (
        String::from_utf8(case.look(&row("version"))).unwrap(),
        hex(&case.look(&row("sealed"))),
    );
    let state = case.open();
    state
        .put(Owner::Platform, "counted", "b", b"another", Expect::Any)
        .unwrap();
    let after = state.get("counted", "b").unwrap().unwrap();
    drop(state);
    let sealed = hex(&case.look(&row("sealed")));
    let put = |(version, sealed): (&str, &str)| {
        let bytes = if case.server.is_some() {
            format!("decode('{sealed}', 'hex')")
        } else {
            format!("x'{sealed}'")
        };
        let set = format!("version = {version}, sealed = {bytes}");
        assert_eq!(
            case.edit(&format!(
                "UPDATE record SET {set} WHERE tbl = 'counted' AND key = 'b'"
            )),
            1
        );
    };

    // One that was put back opens, and is missed all the same.
    put((&before.0, &before.1));
    assert!(matches!(refused(case), StateError::Rows));
    put((&after.version.to_string(), &sealed));
    drop(case.open());
    // A table that is not counted may lose a row without a word.
    assert_eq!(case.edit("DELETE FROM record WHERE tbl = 'free'"), 1);
    drop(case.open());
    assert_eq!(
        case.edit("DELETE FROM record WHERE tbl = 'counted' AND key = 'a'"),
        1
    );
    assert!(matches!(refused(case), StateError::Rows));
    let said = refused(case).to_string();
    assert!(said.contains("restore the tables from a copy"), "{said}");
    // Nor does it help to take away what says so.
    assert_eq!(case.edit("UPDATE changes SET held = NULL"), 1);
    assert!(matches!(refused(case), StateError::Rows));
    let another = case.another();
    another
        .open()
        .put(Owner::Platform, "free", "a", b"value", Expect::Any)
        .unwrap();
    let other = hex(&another.look("SELECT held FROM changes"));
    let bytes = if case.server.is_some() {
        format!("decode('{other}', 'hex')")
    } else {
        format!("x'{other}'")
    };
    case.edit(&format!("UPDATE changes SET held = {bytes}"));
    assert!(matches!(refused(case), StateError::Rows));
    case.due.begun = true;
    assert_ne!(case.edit("DELETE FROM meta WHERE name = 'index_key'"), 0);
    assert!(matches!(refused(case), StateError::Gone(_)));
}

pub(super) fn rows_that_go_with_their_owner_or_by_our_own_hand_are_not_missed(case: &mut Case) {
    let state = case.open();
    let many: Vec<_> = (0..200).map(|n| (format!("{n:03}"), b"v".to_vec())).collect();
    state
        .transact(|transaction| transaction.put_all(ALICE, "counted", &many))
        .unwrap();
    state
        .put(Owner::Platform, "counted, too", "a", b"value", Expect::Any)
        .unwrap();
    state.delete("counted", "007", Expect::Any).unwrap();
    state.delete("counted", "nothing", Expect::Any).unwrap();
    let failed: Result<(), _> = state.transact(|transaction| {
        transaction.delete("counted", "008", Expect::Any)?;
        transaction
            .put(Owner::Platform, "counted", "x", b"v", Expect::Version(1))
            .map(|_| ())
    });
    assert!(failed.is_err());
    drop(state);
    let state = case.open();
    assert_eq!(state.shred(ALICE).unwrap(), 199);
    drop(state);
    case.ring.rotate(Use::Wrap).unwrap();
    // Another program counts more, or fewer, from then on.
    for counted in [&["counted, too", "free"][..], &["free"], &["counted", "free"]] {
        case.due.counted = counted;
        let state = case.open();
        state
            .put(Owner::Platform, "free", "a", b"value", Expect::Any)
            .unwrap();
        drop(state);
        drop(case.open());
    }
    assert_eq!(case.edit("DELETE FROM record WHERE tbl = 'free'"), 1);
    case.due.counted = &["counted"];
    assert!(
        matches!(refused(case), StateError::Rows),
        "what was held is asked for first"
    );
}

pub(super) fn tables_that_were_begun_and_are_empty_are_lost(case: &mut Case) {
    case.due.begun = true;
    let said = refused(case).to_string();
    assert!(said.contains("are gone though they were begun"), "{said}");
    assert!(said.contains("begin a new data directory"), "{said}");
    if case.server.is_none() {
        assert!(said.contains("state.db") && !case.path.exists(), "{said}");
        std::fs::create_dir_all(case.path.parent().unwrap()).unwrap();
        let made = State::open(&case.path, &ring(), Due::default(), clock(), Random::system());
        drop(made.unwrap());
        // Those of another directory are no remedy.
        assert!(matches!(refused(case), StateError::MissingKey(_)));
        return;
    }
    case.due.begun = false;
    drop(case.open());
    case.due.begun = true;
    drop(case.open());
}

#[test]
fn tables_of_an_older_schema_are_brought_up_to_date_and_keep_what_they_hold() {
    let case = Case::new("older");
    let state = case.open();
    state
        .put(ALICE, "counted", "k", b"her value", Expect::Any)
        .unwrap();
    let changes = state.changes().unwrap();
    assert!(changes > 0);
    drop(state);
    // As the first schema had it.
    let look = |what: &str| case.look(&format!("SELECT value FROM meta WHERE name = '{what}'"));
    let wrap = case.ring.current(Use::Wrap).unwrap().secret.clone().unwrap();
    let index = open(&wrap, b"sallyport-index-key/2", &look("index_key")).unwrap();
    let index = hex(&seal(&wrap, OLD_PLACE, index.expose(), &Random::system()).unwrap());
    assert!(from_hex(&index).is_some());
    let back = format!(
        "DROP TABLE changes; INSERT INTO meta VALUES ('changes', {changes}); PRAGMA user_version = 1;
         UPDATE meta SET value = x'{index}' WHERE name = 'index_key'"
    );
    case.raw().execute_batch(&back).unwrap();
    let state = case.open();
    assert_eq!(state.changes().unwrap(), changes);
    assert_eq!(value(state.get("counted", "k").unwrap()).unwrap(), b"her value");
    state.put(ALICE, "counted", "k", b"another", Expect::Any).unwrap();
    assert!(state.changes().unwrap() > changes);
    let version: i64 = case
        .raw()
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    assert_eq!(version, 3);
    drop(state);
    // Its rows are held from then on, and an older program does not write behind their back.
    assert!(
        case.raw()
            .execute("UPDATE counter SET value = value + 1", [])
            .is_err()
    );
    assert_eq!(case.edit("DELETE FROM record WHERE tbl = 'counted'"), 1);
    assert!(matches!(refused(&case), StateError::Rows));
}
