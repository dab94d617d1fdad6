//! Sealed tables: what is read is what was written, by nobody else, in its place; what is shredded is gone.

use std::{path::PathBuf, sync::Arc};

use rusqlite::Connection;

use super::*;
use crate::{
    ambient::{Clock, Random},
    disk::{Disk as _, RealDisk, sim::SimDisk},
    keys::{KeyRing, Secret, Use},
};

/// A ring in memory and a database in a directory of the test's own.
struct Case {
    ring: KeyRing,
    path: PathBuf,
}

impl Case {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("records-{}-state-{name}", std::process::id()));
        let root = Secret::new(vec![1; 32]);
        let disk = Arc::new(SimDisk::new());
        let ring = KeyRing::create("/keys/ring".as_ref(), root, disk, clock(), Random::system()).unwrap();
        Self {
            ring,
            path: dir.join("state.db"),
        }
    }

    fn open(&self) -> State {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<State, StateError> {
        State::open(&self.path, &self.ring, clock(), Random::system())
    }

    /// The file as somebody with an editor sees it.
    fn raw(&self) -> Connection {
        Connection::open(&self.path).unwrap()
    }

    /// Whether some bytes stand anywhere in the directory.
    fn holds(&self, bytes: &[u8]) -> bool {
        let dir = self.path.parent().unwrap();
        RealDisk.list(dir).unwrap().iter().any(|name| {
            let file = std::fs::read(dir.join(name)).unwrap();
            file.windows(bytes.len()).any(|window| window == bytes)
        })
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.path.parent().unwrap());
    }
}

fn clock() -> Clock {
    Clock::new(|| 1_763_712_000_000)
}

const ALICE: Owner<'_> = Owner::Subject {
    tenant: "north",
    subject: "alice",
};

fn value(record: Option<Record>) -> Option<Vec<u8>> {
    record.map(|record| record.value.expose().to_vec())
}

#[test]
fn a_record_is_read_as_it_was_written_also_after_a_restart() {
    let case = Case::new("read");
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
    assert_eq!(RealDisk.mode(&case.path).unwrap(), 0o600);
}

#[test]
fn a_writer_who_saw_something_else_changes_nothing() {
    let case = Case::new("expect");
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

#[test]
fn changes_are_counted_once_each_and_seen_by_every_process() {
    let case = Case::new("changes");
    let (state, other) = (case.open(), case.open());
    let before = other.changes().unwrap();
    state.put(Owner::Platform, "t", "a", b"1", Expect::Any).unwrap();
    state.get("t", "a").unwrap();
    assert_eq!(other.changes().unwrap(), before + 1);
    state.delete("t", "none", Expect::Any).unwrap();
    assert_eq!(other.changes().unwrap(), before + 1);
    assert_eq!(value(other.get("t", "a").unwrap()).unwrap(), b"1");
}

#[test]
fn a_transaction_happens_whole_or_not_at_all() {
    let case = Case::new("transaction");
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

#[test]
fn records_are_listed_by_prefix_in_order_and_in_pages() {
    let case = Case::new("list");
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

#[test]
fn a_row_that_was_edited_or_moved_does_not_open() {
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
        let case = Case::new("edited");
        let state = case.open();
        state.put(ALICE, "users", "alice", b"{}", Expect::Any).unwrap();
        state
            .put(Owner::Tenant("south"), "users", "carol", b"{}", Expect::Any)
            .unwrap();
        drop(state);
        assert!(case.raw().execute(deed, []).unwrap() > 0, "{what}");
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

#[test]
fn what_is_shredded_is_gone_and_others_are_untouched() {
    let case = Case::new("shred");
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
        let raw = case.raw();
        let sealed = raw
            .query_row("SELECT sealed FROM record WHERE key = 'x'", [], |row| row.get(0))
            .unwrap();
        let sql = "SELECT wrapped FROM data_key JOIN record ON data_key = id WHERE key = 'x'";
        (sealed, raw.query_row(sql, [], |row| row.get(0)).unwrap())
    };
    assert!(case.holds(&stolen.0) && case.holds(&stolen.1));
    assert_eq!(state.shred(ALICE).unwrap(), 2);
    assert_eq!(state.shred(ALICE).unwrap(), 0);
    assert!(state.get("t", "x").unwrap().is_none() && state.get("u", "y").unwrap().is_none());
    assert!(
        !case.holds(&stolen.0) && !case.holds(&stolen.1),
        "not even in free pages or the log"
    );
    for n in 0..others.len() {
        assert_eq!(value(state.get("t", &n.to_string()).unwrap()).unwrap(), b"kept");
    }
    // Whoever comes back gets another key.
    state.put(ALICE, "t", "x", b"new", Expect::Absent).unwrap();
    assert_eq!(value(state.get("t", "x").unwrap()).unwrap(), b"new");
}

#[test]
fn the_wrapping_key_changes_and_everything_still_opens() {
    let mut case = Case::new("rewrap");
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
    let sql = "SELECT count(*) FROM data_key WHERE wrapped_by <> ?1";
    assert_eq!(
        case.raw()
            .query_row(sql, [current], |row| row.get::<_, i64>(0))
            .unwrap(),
        0
    );
    let state = case.open();
    assert_eq!(value(state.get("t", "b").unwrap()).unwrap(), b"2");
    assert_eq!(state.shred(ALICE).unwrap(), 1, "the blind index is the same");
}

#[test]
fn what_cannot_be_used_is_refused_with_a_remedy() {
    use std::os::unix::fs::PermissionsExt as _;
    let case = Case::new("refused");
    drop(case.open());
    let other = Case::new("refused-other");
    let foreign = State::open(&case.path, &other.ring, clock(), Random::system()).unwrap_err();
    assert!(
        foreign
            .to_string()
            .contains("restore the ring that belongs to this database"),
        "{foreign}"
    );
    case.raw().execute_batch("PRAGMA user_version = 2").unwrap();
    let newer = case.try_open().unwrap_err();
    assert!(newer.to_string().contains("use a newer program"), "{newer}");
    case.raw().execute_batch("PRAGMA user_version = 1").unwrap();
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
fn too_long_is_too_long() {
    let case = Case::new("long");
    let state = case.open();
    for (table, key) in [
        ("t".repeat(65), "k".to_owned()),
        ("t".to_owned(), "k".repeat(513)),
    ] {
        let refused = state.put(Owner::Platform, &table, &key, b"", Expect::Any);
        assert!(matches!(refused, Err(StateError::TooLong(..))));
    }
}

#[test]
fn many_writers_at_once_lose_no_update() {
    let case = Case::new("many");
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
