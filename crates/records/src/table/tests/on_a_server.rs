//! The same promises on a real PostgreSQL server, and those that only a server can break.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use super::{
    ALICE, Case, DUE, Expect, KeyRing, Random, SUITE, Secret, Server, State, StateError, Use, clock,
    cluster::Cluster, ring, value,
};

/// A database on a server of the test's own.
pub(super) struct Database {
    cluster: Arc<Cluster>,
    name: String,
    address: String,
}

impl Database {
    fn new(cluster: &Arc<Cluster>, name: &str) -> Self {
        // Names of databases end after 63 bytes.
        let short: String = name.chars().take(50).collect();
        let name = format!("{short}_{}", next());
        Self {
            cluster: Arc::clone(cluster),
            address: cluster.database(&name),
            name,
        }
    }

    pub(super) fn connect(&self) -> Result<Server, StateError> {
        Server::connect(&self.address, tls(RootCertStore::empty()))
    }

    pub(super) fn another(&self) -> Self {
        Self::new(&self.cluster, "another")
    }

    pub(super) fn edit(&self, sql: &str) -> usize {
        let sql = sql
            .replace("zeroblob(32)", "decode(repeat('00', 32), 'hex')")
            .replace(
                "CAST(substr(sealed, 1, 20) || x'00' || substr(sealed, 22) AS BLOB)",
                "set_byte(sealed, 20, 255 - get_byte(sealed, 20))",
            );
        let sql = format!(
            "SET search_path = sallyport; WITH done AS ({sql} RETURNING 1) SELECT count(*) FROM done"
        );
        self.cluster.sql(&self.name, &sql).parse().unwrap()
    }

    pub(super) fn look(&self, sql: &str) -> Vec<u8> {
        let sql = format!("SET search_path = sallyport; {sql}");
        let text = self.cluster.sql(&self.name, &sql);
        match text.strip_prefix("\\x") {
            Some(digits) => crate::digest::from_hex(digits).unwrap(),
            None => text.into_bytes(),
        }
    }

    /// Whether some bytes stand in any file of the server, its log of changes among them.
    pub(super) fn holds(&self, bytes: &[u8]) -> bool {
        self.cluster.sql(&self.name, "CHECKPOINT");
        let mut dirs = vec![self.cluster.data()];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    dirs.push(path);
                } else if std::fs::read(path)
                    .unwrap_or_default()
                    .windows(bytes.len())
                    .any(|w| w == bytes)
                {
                    return true;
                }
            }
        }
        false
    }
}

fn next() -> u32 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

fn tls(roots: RootCertStore) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

fn case(cluster: &Arc<Cluster>, name: &str) -> Case {
    let mut case = Case::new(name);
    case.server = Some(Database::new(cluster, name));
    case
}

#[test]
fn every_promise_of_a_file_holds_on_a_server() {
    let Some(cluster) = Cluster::start() else { return };
    let cluster = Arc::new(cluster);
    for (name, test) in SUITE {
        let mut case = case(&cluster, name);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&mut case)));
        assert!(outcome.is_ok(), "{name}, on PostgreSQL");
    }
}

#[test]
fn a_server_that_goes_and_comes_back_is_found_again_and_nobody_waits_for_it() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let address = cluster.database("lost");
    let server = Server::connect(&address, tls(RootCertStore::empty())).unwrap();
    let state = State::on(&server, &ring(), DUE, clock(), Random::system()).unwrap();
    state.put(ALICE, "t", "k", b"v", Expect::Any).unwrap();
    cluster.stop();
    for _ in 0..20 {
        let lost = state.get("t", "k").unwrap_err();
        assert!(matches!(lost, StateError::Unreachable(_)), "{lost}");
        let lost = state.put(ALICE, "t", "k", b"w", Expect::Any).unwrap_err();
        assert!(matches!(lost, StateError::Unreachable(_)), "{lost}");
    }
    cluster.run();
    while state.changes().is_err() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(value(state.get("t", "k").unwrap()).unwrap(), b"v");
    // Connections that idle and are ended are no reason for an error.
    state.put(ALICE, "t", "k", b"w", Expect::Any).unwrap();
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid()
               AND datname = 'lost'";
    assert_ne!(cluster.sql("lost", end), "0");
    assert_eq!(value(state.get("t", "k").unwrap()).unwrap(), b"w");
    state.put(ALICE, "t", "k", b"x", Expect::Any).unwrap();
    // One that is ended in the middle of a transaction is: nobody can know what became of it.
    let broken = state.transact(|transaction| {
        transaction.put(ALICE, "t", "k", b"y", Expect::Any)?;
        cluster.sql("lost", end);
        transaction.put(ALICE, "t", "l", b"y", Expect::Any)
    });
    assert!(matches!(broken, Err(StateError::Unreachable(_))), "{broken:?}");
    assert_eq!(value(state.get("t", "k").unwrap()).unwrap(), b"x");
}

/// Regression: each record was three statements, for all of which every other replica's writers waited.
#[test]
fn many_records_are_few_statements() {
    let Some(cluster) = Cluster::start() else { return };
    let address = cluster.database("many");
    cluster.sql("many", "ALTER DATABASE many SET log_statement = 'all'");
    let server = Server::connect(&address, tls(RootCertStore::empty())).unwrap();
    let state = State::on(&server, &ring(), DUE, clock(), Random::system()).unwrap();
    let log = cluster.data().with_file_name("log");
    let statements = || {
        let log = std::fs::read_to_string(&log).unwrap();
        let is_one = |line: &&str| line.contains("LOG:  execute ") || line.contains("LOG:  statement: ");
        log.lines().filter(is_one).count()
    };
    let records: Vec<_> = (0..1_000).map(|n| (format!("{n}"), b"v".to_vec())).collect();
    let keys: Vec<&str> = records.iter().map(|(key, _)| key.as_str()).collect();
    let before = statements();
    state
        .transact(|transaction| transaction.put_all(ALICE, "t", &records))
        .unwrap();
    let written = statements();
    assert!((17..40).contains(&(written - before)), "{}", written - before);
    assert_eq!(state.get_all("t", &keys).unwrap().len(), 1_000);
    let read = statements();
    assert!((17..30).contains(&(read - written)), "{}", read - written);
}

#[test]
fn a_log_has_one_writer_over_all_machines() {
    let Some(cluster) = Cluster::start() else { return };
    let address = cluster.database("claims");
    let connect = || Server::connect(&address, tls(RootCertStore::empty())).unwrap();
    let (one, other) = (connect(), connect());
    let mut claim = one.claim("sallyport.local/a").unwrap();
    assert!(matches!(
        other.claim("sallyport.local/a"),
        Err(StateError::Claimed(_))
    ));
    claim.hold().unwrap();
    drop(other.claim("sallyport.local/b").unwrap());
    // The connection that held it is lost, and another process is quicker.
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory'";
    assert_eq!(cluster.sql("claims", end), "1");
    let taken = loop {
        // The server takes a moment to notice the end of what it ended.
        match other.claim("sallyport.local/a") {
            Ok(taken) => break taken,
            Err(StateError::Claimed(_)) => std::thread::sleep(std::time::Duration::from_millis(20)),
            Err(error) => panic!("{error}"),
        }
    };
    assert!(matches!(claim.hold(), Err(StateError::Claimed(_))));
    drop(taken);
    while claim.hold().is_err() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn replicas_share_one_ring_and_none_overwrites_anothers_change() {
    let Some(cluster) = Cluster::start() else { return };
    let address = cluster.database("ring");
    let server = Server::connect(&address, tls(RootCertStore::empty())).unwrap();
    let root = || Secret::new(vec![7; 32]);
    let create = || {
        KeyRing::create_at(
            server.name().into(),
            server.ring(),
            root(),
            clock(),
            Random::system(),
        )
    };
    let open = |root| {
        KeyRing::open_at(
            server.name().into(),
            server.ring(),
            root,
            clock(),
            Random::system(),
        )
    };
    assert!(open(root()).is_err(), "nobody has made one");
    let mut one = create().unwrap();
    assert!(create().is_err(), "nothing is overwritten");
    let mut other = open(root()).unwrap();
    one.rotate(Use::Wrap).unwrap();
    let refused = other.rotate(Use::Wrap).unwrap_err();
    assert!(
        refused.to_string().contains("another replica changed it"),
        "{refused}"
    );
    let mut other = open(root()).unwrap();
    other.rotate(Use::Wrap).unwrap();
    let wrong = open(Secret::new(vec![8; 32])).unwrap_err();
    assert!(wrong.to_string().contains("ring on 127.0.0.1"), "{wrong}");
}

#[test]
fn what_cannot_be_used_on_a_server_is_refused_with_a_remedy() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let none = || tls(RootCertStore::empty());
    let address = cluster.database("refused");
    drop(Server::connect(&address, none()).unwrap());
    cluster.sql(
        "refused",
        "UPDATE sallyport.schema_version SET version = version + 1",
    );
    let newer = Server::connect(&address, none()).unwrap_err();
    assert!(newer.to_string().contains("use a newer program"), "{newer}");
    let secret = Server::connect("postgresql://me:hunter2@db:port/x", none()).unwrap_err();
    assert!(!secret.to_string().contains("hunter2"), "{secret}");
    for remote in [
        "db.internal/x?",
        "localhost/x?hostaddr=192.0.2.1&",
        "localhost,db.internal/x?",
    ] {
        let plain = format!("postgresql://me@{remote}sslmode=disable");
        let plain = Server::connect(&plain, none()).unwrap_err();
        assert!(matches!(plain, StateError::Unencrypted), "{remote}: {plain}");
    }
    cluster.sql(
        "refused",
        "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0",
    );
    let latin = Server::connect(&cluster.address("latin"), none()).unwrap_err();
    assert!(latin.to_string().contains("UTF8"), "{latin}");
    // A server that proves nothing, one that proves who it is, and one that somebody else vouches for.
    let address = cluster.database("secured");
    let required = format!("{address}?sslmode=require");
    assert!(Server::connect(&required, none()).is_err(), "it has no TLS");
    let mut roots = RootCertStore::empty();
    roots.add(cluster.certify().into()).unwrap();
    drop(Server::connect(&required, tls(roots)).unwrap());
    let unknown = Server::connect(&required, none()).unwrap_err();
    assert!(unknown.to_string().contains("certificate"), "{unknown}");
}
