//! Sealed tables: what is read is what was written, by nobody else, in its place; what is shredded is gone.

use std::{path::PathBuf, sync::Arc};

use rusqlite::Connection;

use super::*;
use crate::{
    ambient::{Clock, Random},
    disk::{Disk as _, RealDisk, sim::SimDisk},
    keys::{KeyRing, Secret, Use},
};

#[expect(
    dead_code,
    unreachable_pub,
    reason = "the end-to-end tests and the bench of the ledger read this file, too"
)]
#[path = "../../tests/support/cluster.rs"]
mod cluster;
#[path = "tests/on_a_server.rs"]
mod on_a_server;
#[path = "tests/rows.rs"]
mod rows;

use rows::{
    rows_that_go_with_their_owner_or_by_our_own_hand_are_not_missed,
    rows_that_were_deleted_or_put_back_are_missed, tables_that_were_begun_and_are_empty_are_lost,
};

/// A ring in memory and a database of the test's own: a file in a directory, or one on a server.
struct Case {
    ring: KeyRing,
    path: PathBuf,
    server: Option<on_a_server::Database>,
    due: Due,
}

impl Case {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("records-{}-state-{name}", std::process::id()));
        Self {
            ring: ring(),
            path: dir.join("state.db"),
            server: None,
            due: DUE,
        }
    }

    fn open(&self) -> State {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<State, StateError> {
        self.try_open_with(&self.ring)
    }

    fn try_open_with(&self, ring: &KeyRing) -> Result<State, StateError> {
        match &self.server {
            None => State::open(&self.path, ring, self.due, clock(), Random::system()),
            Some(database) => State::on(&database.connect()?, ring, self.due, clock(), Random::system()),
        }
    }

    fn payloads(&self) -> Payloads {
        match &self.server {
            None => Payloads::open(&self.path.with_file_name("payloads.db")).unwrap(),
            Some(database) => Payloads::on(&database.connect().unwrap()),
        }
    }

    /// Changes the database as somebody with an editor does. Gives how many rows.
    fn edit(&self, sql: &str) -> usize {
        match &self.server {
            None => self.raw().execute(sql, []).unwrap(),
            Some(database) => database.edit(sql),
        }
    }

    /// What such a person reads in one column of one row.
    fn look(&self, sql: &str) -> Vec<u8> {
        let read = |row: &rusqlite::Row<'_>| {
            let value = row.get_ref(0)?;
            let number = |_| value.as_i64().map(|number| number.to_string().into_bytes());
            Ok(value.as_bytes().map(<[u8]>::to_vec).or_else(number).unwrap())
        };
        match &self.server {
            None => self.raw().query_row(sql, [], read).unwrap(),
            Some(database) => database.look(sql),
        }
    }

    /// Another database of the same kind and ring, and nothing in it.
    fn another(&self) -> Self {
        let mut another = Self::new("another");
        another.server = self.server.as_ref().map(on_a_server::Database::another);
        another
    }

    /// The file as somebody with an editor sees it.
    fn raw(&self) -> Connection {
        Connection::open(&self.path).unwrap()
    }

    /// Whether some bytes stand anywhere in the files of the database.
    fn holds(&self, bytes: &[u8]) -> bool {
        if let Some(database) = &self.server {
            return database.holds(bytes);
        }
        let dir = self.path.parent().unwrap();
        RealDisk.list(dir).unwrap().iter().any(|name| {
            let file = std::fs::read(dir.join(name)).unwrap();
            file.windows(bytes.len()).any(|window| window == bytes)
        })
    }
}

const DUE: Due = Due {
    begun: false,
    counted: &["counted", "counted, too"],
};

fn ring() -> KeyRing {
    let root = Secret::new(vec![1; 32]);
    let disk = Arc::new(SimDisk::new());
    KeyRing::create("/keys/ring".as_ref(), root, disk, clock(), Random::system()).unwrap()
}

impl Drop for Case {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.path.parent().unwrap());
    }
}

/// Tests of what tables promise, wherever they are: each runs on a file, and all on one server
/// ([`on_a_server`]).
macro_rules! wherever_they_are {
    ($($name:ident),* $(,)?) => {
        mod in_a_file {
            $(
                #[test]
                fn $name() {
                    super::$name(&mut super::Case::new(stringify!($name)));
                }
            )*
        }

        const SUITE: &[(&str, fn(&mut Case))] = &[$((stringify!($name), $name)),*];
    };
}

fn clock() -> Clock {
    Clock::new(|| 1_763_712_000_000)
}

const ALICE: Owner<'_> = Owner::Subject {
    tenant: "north",
    subject: "alice",
};
const CAROL: Owner<'_> = Owner::Subject {
    tenant: "north",
    subject: "carol",
};
const DORA: Owner<'_> = Owner::Subject {
    tenant: "north",
    subject: "dora",
};

fn value(record: Option<Record>) -> Option<Vec<u8>> {
    record.map(|record| record.value.expose().to_vec())
}

const BOB: Owner<'_> = Owner::Subject {
    tenant: "north",
    subject: "bob",
};

fn payload(call: &str, time_ms: u64, subjects: &[&str]) -> Payload {
    Payload {
        call: call.to_owned(),
        part: "arguments",
        time_ms,
        subjects: subjects.iter().map(|subject| (*subject).to_owned()).collect(),
        sealed: format!("sealed {call}").into_bytes(),
    }
}

wherever_they_are! {
    a_record_is_read_as_it_was_written_also_after_a_restart,
    a_writer_who_saw_something_else_changes_nothing,
    changes_are_counted_once_each_and_seen_by_every_process,
    a_transaction_happens_whole_or_not_at_all,
    many_records_are_one_change_and_are_read_at_once,
    records_are_listed_by_prefix_in_order_and_in_pages,
    a_row_that_was_edited_or_moved_does_not_open,
    what_is_shredded_is_gone_and_others_are_untouched,
    the_wrapping_key_changes_and_everything_still_opens,
    too_long_is_too_long,
    many_writers_at_once_lose_no_update,
    what_concerns_two_people_is_gone_with_either,
    another_process_learns_of_new_wrapping_keys_before_it_writes,
    a_ring_that_was_rotated_and_nothing_more_is_caught_up_with,
    payloads_are_kept_by_call_and_deleted_by_person,
    payloads_end_with_their_time_unless_they_are_held,
    rows_that_were_deleted_or_put_back_are_missed,
    rows_that_go_with_their_owner_or_by_our_own_hand_are_not_missed,
    tables_that_were_begun_and_are_empty_are_lost,
}

fn a_record_is_read_as_it_was_written_also_after_a_restart(case: &mut Case) {
    let state = case.open();
    let version = state
        .put(
            Owner::Platform,
            "agents",
            "scribe",
            b"planted value",
            Expect::Absent,
        )
        .unwrap();
    assert_eq!(
        value(state.get("agents", "scribe").unwrap()).unwrap(),
        b"planted value"
    );
    assert_eq!(value(state.get("agents", "other").unwrap()), None);
    assert_eq!(value(state.get("servers", "scribe").unwrap()), None);
    drop(state);
    let state = case.open();
    let record = state.get("agents", "scribe").unwrap().unwrap();
    assert_eq!(
        (record.version, record.value.expose()),
        (version, b"planted value".as_slice())
    );
    assert!(!format!("{record:?}").contains("planted"));
    drop(state);
    assert!(!case.holds(b"planted value"), "sealed");
    if case.server.is_none() {
        assert_eq!(RealDisk.mode(&case.path).unwrap(), 0o600);
    }
}

fn a_writer_who_saw_something_else_changes_nothing(case: &mut Case) {
    let state = case.open();
    let put = |expect| state.put(Owner::Platform, "t", "k", b"v", expect);
    assert!(matches!(
        put(Expect::Version(1)),
        Err(StateError::Conflict { .. })
    ));
    let first = put(Expect::Absent).unwrap();
    assert!(matches!(put(Expect::Absent), Err(StateError::Conflict { .. })));
    let second = put(Expect::Version(first)).unwrap();
    assert!(matches!(
        put(Expect::Version(first)),
        Err(StateError::Conflict { .. })
    ));
    assert!(matches!(
        state.delete("t", "k", Expect::Version(first)),
        Err(StateError::Conflict { .. })
    ));
    state.delete("t", "k", Expect::Version(second)).unwrap();
    state.delete("t", "k", Expect::Any).unwrap();
    assert!(matches!(
        state.delete("t", "k", Expect::Version(second)),
        Err(StateError::Conflict { .. })
    ));
    let third = put(Expect::Absent).unwrap();
    assert!(third > second, "a version is never given twice");
}

fn changes_are_counted_once_each_and_seen_by_every_process(case: &mut Case) {
    let (state, other) = (case.open(), case.open());
    let before = other.changes().unwrap();
    state.put(Owner::Platform, "t", "a", b"1", Expect::Any).unwrap();
    state.get("t", "a").unwrap();
    assert_eq!(other.changes().unwrap(), before + 1);
    state.delete("t", "none", Expect::Any).unwrap();
    assert_eq!(other.changes().unwrap(), before + 1);
    assert_eq!(value(other.get("t", "a").unwrap()).unwrap(), b"1");
}

fn a_transaction_happens_whole_or_not_at_all(case: &mut Case) {
    let state = case.open();
    let failed = state.transact(|transaction| {
        transaction.put(ALICE, "t", "a", b"1", Expect::Any)?;
        assert_eq!(value(transaction.get("t", "a")?).unwrap(), b"1");
        transaction.put(ALICE, "t", "b", b"2", Expect::Version(99))
    });
    assert!(matches!(failed, Err(StateError::Conflict { .. })));
    assert_eq!(value(state.get("t", "a").unwrap()), None);
    // The data key that was made in it is gone with it.
    state.put(ALICE, "t", "c", b"3", Expect::Any).unwrap();
    drop(state);
    assert_eq!(value(case.open().get("t", "c").unwrap()).unwrap(), b"3");
}

fn many_records_are_one_change_and_are_read_at_once(case: &mut Case) {
    let state = case.open();
    state.put(BOB, "t", "005", b"Bob's", Expect::Any).unwrap();
    let before = state.changes().unwrap();
    // One statement writes 64, 8 or 1.
    let mut records: Vec<_> = (0..64 * 2 + 8 * 3 + 5)
        .map(|n| (format!("{n:03}"), format!("value {n}").into_bytes()))
        .collect();
    records.push(("006".to_owned(), b"the later".to_vec()));
    let version = state.transact(|transaction| transaction.put_all(ALICE, "t", &records));
    assert_eq!(version.unwrap(), before + 1);
    assert_eq!(state.changes().unwrap(), before + 1);
    let none: [(&str, &[u8]); 0] = [];
    state
        .transact(|transaction| transaction.put_all(ALICE, "t", &none))
        .unwrap();
    assert_eq!(state.changes().unwrap(), before + 1, "nothing is no change");
    drop(state);
    let state = case.open();
    let keys: Vec<String> = (0..200).rev().map(|n| format!("{n:03}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let read = |table| {
        let found = state.get_all(table, &keys).unwrap().into_iter();
        let mut found: Vec<_> = found
            .map(|record| (record.key, record.value.expose().to_vec()))
            .collect();
        found.sort();
        found
    };
    let mut written = records.clone();
    let later = written.pop().unwrap();
    written[6] = later;
    assert_eq!(read("t"), written);
    assert_eq!(read("u"), []);
    assert_eq!(state.get_all("t", &[]).unwrap().len(), 0);
    // What was Bob's is Alice's now.
    assert_eq!(state.shred(ALICE).unwrap(), written.len());
    assert_eq!(read("t"), []);
}

fn records_are_listed_by_prefix_in_order_and_in_pages(case: &mut Case) {
    let state = case.open();
    state
        .transact(|transaction| {
            for n in 0..1_200 {
                transaction.put(Owner::Platform, "t", &format!("a/{n:04}"), b"x", Expect::Any)?;
            }
            for key in ["a", "a%", "a/", "b/1", "A/1", "ä/1"] {
                transaction.put(Owner::Platform, "t", key, b"x", Expect::Any)?;
            }
            transaction.put(Owner::Platform, "u", "a/1", b"x", Expect::Any)
        })
        .unwrap();
    let keys = |prefix, after: Option<&str>| -> Vec<String> {
        state
            .list("t", prefix, after)
            .unwrap()
            .into_iter()
            .map(|record| record.key)
            .collect()
    };
    let first = keys("a/", None);
    assert_eq!(
        (first.len(), first[0].as_str(), first[999].as_str()),
        (1_000, "a/", "a/0998")
    );
    let second = keys("a/", first.last().map(String::as_str));
    assert_eq!((second.len(), second[0].as_str()), (201, "a/0999"));
    assert_eq!(keys("a%", None), ["a%"]);
    assert_eq!(keys("ä", None), ["ä/1"]);
    assert_eq!(keys("zz", None), [""; 0]);
}

fn a_row_that_was_edited_or_moved_does_not_open(case: &mut Case) {
    let deeds = [
        (
            "edited bytes",
            "UPDATE record SET sealed = CAST(substr(sealed, 1, 20) || x'00' || substr(sealed, 22) AS BLOB)",
        ),
        ("another key", "UPDATE record SET key = 'bob' WHERE key = 'alice'"),
        (
            "another table",
            "UPDATE record SET tbl = 'admins' WHERE key = 'alice'",
        ),
        ("another version", "UPDATE record SET version = version + 1"),
        (
            "another's data key",
            "UPDATE record SET data_key = (SELECT max(id) FROM data_key) WHERE key = 'alice'",
        ),
        (
            "a swapped data key",
            "UPDATE data_key SET wrapped = (SELECT wrapped FROM data_key WHERE id = 2) WHERE id = 1",
        ),
        (
            "a data key said to be another's",
            "UPDATE data_key SET owner = zeroblob(32) WHERE id = 1",
        ),
    ];
    for (what, deed) in deeds {
        let case = case.another();
        let state = case.open();
        state.put(ALICE, "users", "alice", b"{}", Expect::Any).unwrap();
        state
            .put(Owner::Tenant("south"), "users", "carol", b"{}", Expect::Any)
            .unwrap();
        drop(state);
        assert!(case.edit(deed) > 0, "{what}");
        let state = case.open();
        let read = ["users", "admins"].map(|table| ["alice", "bob"].map(|key| state.get(table, key)));
        let opened: Vec<_> = read
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
            .flatten()
            .collect();
        assert_eq!(opened.len(), 0, "{what}");
    }
}

fn what_is_shredded_is_gone_and_others_are_untouched(case: &mut Case) {
    let state = case.open();
    let others = [
        Owner::Tenant("north"),
        Owner::Subject {
            tenant: "",
            subject: "northalice",
        },
        Owner::Subject {
            tenant: "northa",
            subject: "lice",
        },
        Owner::Subject {
            tenant: "south",
            subject: "alice",
        },
    ];
    for (n, other) in others.iter().enumerate() {
        state
            .put(*other, "t", &n.to_string(), b"kept", Expect::Any)
            .unwrap();
    }
    state.put(ALICE, "t", "x", b"chart", Expect::Any).unwrap();
    state.put(ALICE, "u", "y", b"chart", Expect::Any).unwrap();
    let stolen: (Vec<u8>, Vec<u8>) = {
        let sealed = case.look("SELECT sealed FROM record WHERE key = 'x'");
        let sql = "SELECT wrapped FROM data_key JOIN record ON data_key = id WHERE key = 'x'";
        (sealed, case.look(sql))
    };
    assert!(case.holds(&stolen.0) && case.holds(&stolen.1));
    assert_eq!(state.shred(ALICE).unwrap(), 2);
    assert_eq!(state.shred(ALICE).unwrap(), 0);
    assert!(state.get("t", "x").unwrap().is_none() && state.get("u", "y").unwrap().is_none());
    // What a server's log of changes still has opens with no key any more.
    assert!(
        case.server.is_some() || !case.holds(&stolen.0) && !case.holds(&stolen.1),
        "not even in free pages or the log"
    );
    for n in 0..others.len() {
        assert_eq!(value(state.get("t", &n.to_string()).unwrap()).unwrap(), b"kept");
    }
    // Whoever comes back gets another key.
    state.put(ALICE, "t", "x", b"new", Expect::Absent).unwrap();
    assert_eq!(value(state.get("t", "x").unwrap()).unwrap(), b"new");
}

fn the_wrapping_key_changes_and_everything_still_opens(case: &mut Case) {
    let state = case.open();
    state.put(ALICE, "t", "a", b"1", Expect::Any).unwrap();
    state
        .put(Owner::Tenant("north"), "t", "b", b"2", Expect::Any)
        .unwrap();
    case.ring.rotate(Use::Wrap).unwrap();
    assert_eq!(state.rewrap(&case.ring).unwrap(), 2);
    assert_eq!(state.rewrap(&case.ring).unwrap(), 0);
    assert_eq!(value(state.get("t", "a").unwrap()).unwrap(), b"1");
    drop(state);
    let current = case.ring.current(Use::Wrap).unwrap().id.clone();
    let sql = format!("SELECT count(*) FROM data_key WHERE wrapped_by <> '{current}'");
    assert_eq!(case.look(&sql), b"0");
    let state = case.open();
    assert_eq!(value(state.get("t", "b").unwrap()).unwrap(), b"2");
    assert_eq!(state.shred(ALICE).unwrap(), 1, "the blind index is the same");
}

fn too_long_is_too_long(case: &mut Case) {
    let state = case.open();
    for (table, key) in [
        ("t".repeat(65), "k".to_owned()),
        ("t".to_owned(), "k".repeat(513)),
    ] {
        let refused = state.put(Owner::Platform, &table, &key, b"", Expect::Any);
        assert!(matches!(refused, Err(StateError::TooLong(..))));
    }
}

fn many_writers_at_once_lose_no_update(case: &mut Case) {
    case.open()
        .put(Owner::Platform, "t", "n", b"0", Expect::Any)
        .unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let state = case.open();
            scope.spawn(move || {
                let mut done = 0;
                while done < 20 {
                    let record = state.get("t", "n").unwrap().unwrap();
                    let n: u32 = str::from_utf8(record.value.expose()).unwrap().parse().unwrap();
                    let next = (n + 1).to_string();
                    let expect = Expect::Version(record.version);
                    match state.put(Owner::Platform, "t", "n", next.as_bytes(), expect) {
                        Ok(_) => done += 1,
                        Err(StateError::Conflict { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    assert_eq!(value(case.open().get("t", "n").unwrap()).unwrap(), b"80");
}

fn what_concerns_two_people_is_gone_with_either(case: &mut Case) {
    let state = case.open();
    let seal = |owners: &[Owner<'_>], place: &str| {
        let now = state.moment().unwrap();
        state
            .transact(|transaction| transaction.seal_for(owners, now, place, b"of both"))
            .unwrap()
            .unwrap()
    };
    let (both, bobs) = (seal(&[ALICE, BOB], "call-1"), seal(&[BOB], "call-2"));
    let opened = |place, sealed: &[u8]| state.open_for(place, sealed).unwrap();
    assert_eq!(opened("call-1", &both).unwrap().expose(), b"of both");
    // It opens in no other place, and not when a byte of it is another.
    assert!(matches!(
        state.open_for("call-2", &both),
        Err(StateError::Altered { .. })
    ));
    for at in 0..both.len() {
        let mut altered = both.clone();
        altered[at] ^= 1;
        assert!(
            !matches!(state.open_for("call-1", &altered), Ok(Some(_))),
            "byte {at}"
        );
    }
    assert!(state.open_for("call-1", &both[..20]).is_err());
    let begun = state.moment().unwrap();
    assert!(
        state
            .transact(|transaction| transaction.seal_for(&[], begun, "call-3", b"nobody's"))
            .is_err(),
        "what nobody owns could never be destroyed"
    );
    state.shred(ALICE).unwrap();
    assert!(opened("call-1", &both).is_none());
    assert_eq!(opened("call-2", &bobs).unwrap().expose(), b"of both");
    state.shred(BOB).unwrap();
    assert!(opened("call-2", &bobs).is_none());
    // What began before either was erased gets no key of after.
    let late = |owners: &[Owner<'_>]| {
        let sealed = state.transact(|transaction| transaction.seal_for(owners, begun, "call-3", b"late"));
        sealed.unwrap()
    };
    assert!(late(&[ALICE]).is_none() && late(&[BOB]).is_none() && late(&[CAROL, BOB]).is_none());
    assert!(late(&[CAROL]).is_some());
    // Nor where there was no key that could be destroyed, and by what stands for her alone.
    let begun = state.moment().unwrap();
    let tag = Tag::read(&state.tag(DORA).to_string()).unwrap();
    assert_eq!(state.shred_tagged(tag).unwrap(), 0);
    let sealed = state.transact(|transaction| transaction.seal_for(&[DORA], begun, "call-3", b"late"));
    assert!(sealed.unwrap().is_none());
    // A new key of the same person opens nothing old.
    seal(&[ALICE, BOB], "call-4");
    assert!(opened("call-1", &both).is_none());
}

fn another_process_learns_of_new_wrapping_keys_before_it_writes(case: &mut Case) {
    let (one, other) = (case.open(), case.open());
    case.ring.rotate(Use::Wrap).unwrap();
    one.rewrap(&case.ring).unwrap();
    // Its own key may be destroyed already: what it sealed now would be lost.
    let refused = other.put(ALICE, "t", "k", b"v", Expect::Any).unwrap_err();
    assert!(matches!(refused, StateError::MissingKey(_)), "{refused}");
    other.adopt(&case.ring).unwrap();
    other.put(ALICE, "t", "k", b"v", Expect::Any).unwrap();
    assert_eq!(value(one.get("t", "k").unwrap()).unwrap(), b"v");
}

fn a_ring_that_was_rotated_and_nothing_more_is_caught_up_with(case: &mut Case) {
    case.open().put(ALICE, "t", "k", b"v", Expect::Any).unwrap();
    let old = case.ring.current(Use::Wrap).unwrap().id.clone();
    case.ring.rotate(Use::Wrap).unwrap();
    let state = case.open();
    assert_eq!(state.wrapped_by(&old).unwrap(), 0);
    assert_eq!(value(state.get("t", "k").unwrap()).unwrap(), b"v");
}

fn payloads_are_kept_by_call_and_deleted_by_person(case: &mut Case) {
    let payloads = case.payloads();
    payloads
        .put(&[
            payload("a", 1, &["s1", "s2"]),
            payload("b", 2, &["s2"]),
            payload("c", 3, &[]),
        ])
        .unwrap();
    // Whoever comes second under the same name changes nothing.
    let mut again = payload("a", 9, &[]);
    again.sealed = b"another".to_vec();
    payloads.put(&[again]).unwrap();
    let kept = payloads.of_call("a").unwrap();
    assert_eq!(
        (kept.len(), kept[0].sealed.as_slice()),
        (1, b"sealed a".as_slice())
    );
    assert_eq!(payloads.delete_of(&["s1".to_owned()]).unwrap(), 1);
    assert!(payloads.of_call("a").unwrap().is_empty());
    if case.server.is_none() {
        assert!(!case.holds(b"sealed a"), "no byte of it is left in the files");
    }
    assert_eq!(payloads.extent().unwrap(), (2, Some(2)));
    drop(payloads);
    let payloads = case.payloads();
    assert_eq!(payloads.of_call("b").unwrap().len(), 1);
}

fn payloads_end_with_their_time_unless_they_are_held(case: &mut Case) {
    let payloads = case.payloads();
    payloads
        .put(&[
            payload("a", 1, &["s1"]),
            payload("b", 2, &["s2"]),
            payload("c", 30, &["s2"]),
        ])
        .unwrap();
    assert_eq!(payloads.expire(10, &["s1".to_owned()]).unwrap(), 1);
    assert_eq!(payloads.of_call("a").unwrap().len(), 1);
    assert_eq!(payloads.expire(10, &[]).unwrap(), 1);
    assert_eq!(payloads.extent().unwrap(), (1, Some(30)));
}

#[test]
fn what_cannot_be_used_is_refused_with_a_remedy() {
    use std::os::unix::fs::PermissionsExt as _;
    let case = Case::new("refused");
    drop(case.open());
    let other = Case::new("refused-other");
    let foreign = case.try_open_with(&other.ring).unwrap_err();
    assert!(
        foreign
            .to_string()
            .contains("restore the ring that belongs to this database"),
        "{foreign}"
    );
    case.raw().execute_batch("PRAGMA user_version = 4").unwrap();
    let newer = case.try_open().unwrap_err();
    assert!(newer.to_string().contains("use a newer program"), "{newer}");
    case.raw().execute_batch("PRAGMA user_version = 3").unwrap();
    std::fs::set_permissions(&case.path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let readable = case.try_open().unwrap_err();
    assert!(readable.to_string().contains("chmod 600"), "{readable}");
    RealDisk.create_dir(other.path.parent().unwrap()).unwrap();
    crate::disk::replace(
        &RealDisk,
        &other.path,
        &b"this is no database, whatever its name says".repeat(40),
    )
    .unwrap();
    let damaged = other.try_open().unwrap_err();
    assert!(
        damaged.to_string().contains("restore it from a copy"),
        "{damaged}"
    );
}

#[test]
fn a_copy_from_before_an_erasure_says_nothing_to_the_ring_of_after() {
    let mut case = Case::new("copy");
    let state = case.open();
    state.put(ALICE, "t", "k", b"her value", Expect::Any).unwrap();
    state.put(BOB, "t", "b", b"his value", Expect::Any).unwrap();
    let copy = case.path.with_file_name("copy.db");
    state.copy_to(&copy).unwrap();
    assert!(state.copy_to(&copy).is_err(), "nothing is overwritten");
    let old = case.ring.current(Use::Wrap).unwrap().id.clone();
    // As erasing does it.
    state.shred(ALICE).unwrap();
    case.ring.rotate(Use::Wrap).unwrap();
    assert!(state.wrapped_by(&old).unwrap() > 0);
    state.rewrap(&case.ring).unwrap();
    assert_eq!(state.wrapped_by(&old).unwrap(), 0);
    let before = State::open(&copy, &case.ring, case.due, clock(), Random::system());
    assert!(before.is_ok(), "until the old wrapping key is destroyed");
    drop(before);
    std::fs::remove_file(&copy).unwrap();
    state.copy_to(&copy).unwrap();
    case.ring.destroy(&old).unwrap();
    let of_after = State::open(&copy, &case.ring, case.due, clock(), Random::system()).unwrap();
    assert_eq!(value(of_after.get("t", "k").unwrap()), None);
    assert_eq!(value(of_after.get("t", "b").unwrap()).unwrap(), b"his value");
}

#[test]
fn a_copy_without_its_wrapping_key_is_refused() {
    let mut case = Case::new("stale");
    let state = case.open();
    state.put(ALICE, "t", "k", b"her value", Expect::Any).unwrap();
    let copy = case.path.with_file_name("copy.db");
    state.copy_to(&copy).unwrap();
    let old = case.ring.current(Use::Wrap).unwrap().id.clone();
    case.ring.rotate(Use::Wrap).unwrap();
    state.rewrap(&case.ring).unwrap();
    case.ring.destroy(&old).unwrap();
    let refused = State::open(&copy, &case.ring, case.due, clock(), Random::system()).unwrap_err();
    assert!(matches!(refused, StateError::MissingKey(id) if id == old));
}
