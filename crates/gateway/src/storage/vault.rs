//! What the data directory holds: keys, the ledger, the store.

use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use records::{
    ambient::{Clock, Random},
    digest::{Digester, hex},
    keys::{KeyRing, LogKeys, Use},
    ledger::{Ledger, OpenError, Opening, Options, Ports},
    table::{Due, Payloads, Server, State},
};

use crate::{
    ambient::Ambient,
    config::{Meant, root::MeantRoot, state::MeantState},
    failure::Failure,
    known::concerned::SubjectDigests,
    storage::{
        keychain::{Keychain, derive, subject_digests},
        root::RootKey,
        store::Store,
    },
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Vault {
    ledger: Ledger,
    digester: Digester,
    subjects: SubjectDigests,
    store: Store,
    payloads: PathBuf,
    token_seed: [u8; 32],
    token_earlier: Vec<Vec<u8>>,
    secrets_key: hmac::Key,
    pseudonyms_key: hmac::Key,
    marks_key: hmac::Key,
    contexts_key: hmac::Key,
}

/// Tables of whose rows none may be missing: what is stopped, revoked, held, approved, or untrusted would be so no
/// more. What is written with most calls is not among them, nor what only lets somebody do more.
const COUNTED: &[&str] = &[
    "artefacts",
    "context_labels",
    "halts",
    "holds",
    "passkeys",
    "policy",
    "revoked-agents",
    "revoked-grants",
    "revoked-tokens",
    "server-versions",
    "servers",
];

/// How long tokens live at most, and then some.
const TOKENS_LIVE_MS: i64 = 60 * 60 * 1000;

/// The files of a data directory.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
    place: u32,
    /// Where the tables are, if not here.
    state: Option<MeantState>,
    /// Where the root key is.
    root_key: MeantRoot,
    /// The ledger was restored from a back-up, whose end is not closed.
    restored: bool,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            place: 0,
            state: None,
            root_key: MeantRoot::Usual,
            restored: false,
        }
    }

    /// What configuration says.
    pub(crate) fn of(meant: &Meant) -> Self {
        Self::at(&meant.data, meant.state.clone(), meant.root.clone())
    }

    /// This directory, with tables and a root key where these say.
    pub(crate) fn at(root: &Path, state: Option<MeantState>, root_key: MeantRoot) -> Self {
        Self {
            state,
            root_key,
            ..Self::new(root)
        }
    }

    /// Whether tables were kept here, and not elsewhere.
    pub(crate) fn has_tables(&self) -> bool {
        self.state().exists()
    }

    /// The same with a root key elsewhere than usual.
    pub(crate) fn with_root_key(self, root_key: &MeantRoot) -> Self {
        Self {
            root_key: root_key.clone(),
            ..self
        }
    }

    /// The same keys and tables with a ledger of its own: a ledger has one writer, and hosts may wrap the
    /// same server several times at once.
    pub(crate) fn at_place(&self, place: u32) -> Self {
        Self {
            place,
            ..self.clone()
        }
    }

    /// The same directory after it was restored: that its ledger ends without a word is accepted, and recorded.
    pub(crate) fn restored(&self) -> Self {
        Self {
            restored: true,
            ..self.clone()
        }
    }

    /// The ledger's directory.
    pub(crate) fn ledger(&self) -> PathBuf {
        match self.place {
            0 => self.root.join("ledger"),
            place => self.root.join(format!("ledger-{place}")),
        }
    }

    /// The ring of keys, sealed by the root key.
    pub(crate) fn ring(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// The root key, unless configuration names another place.
    pub(crate) fn root_key(&self) -> PathBuf {
        self.root.join("root.key")
    }

    /// Homes of servers that outlive them, one directory a server.
    pub(crate) fn homes(&self) -> PathBuf {
        self.root.join("homes")
    }

    /// The broker's sockets, one a server: this process's own, since hosts may wrap the same server several times.
    pub(crate) fn egress(&self) -> PathBuf {
        self.root.join("egress").join(std::process::id().to_string())
    }

    /// The kept copies of packages: beside the data directory, since no box sees anything in that. Servers are
    /// started from there by the path, so it is whole.
    pub(crate) fn packages(&self) -> PathBuf {
        let root = std::path::absolute(&self.root).unwrap_or_else(|_| self.root.clone());
        let mut name = root.file_name().unwrap_or_default().to_owned();
        name.push("-packages");
        root.with_file_name(name)
    }

    /// The control socket of the gateway that runs here.
    pub(crate) fn control(&self) -> PathBuf {
        self.root.join("control.sock")
    }

    /// The socket of those who hold that gateway open.
    pub(crate) fn hold(&self) -> PathBuf {
        self.root.join("hold.sock")
    }

    /// The sealed tables.
    fn state(&self) -> PathBuf {
        self.root.join("state.db")
    }

    /// Payloads of calls, sealed.
    fn payloads(&self) -> PathBuf {
        self.root.join("payloads.db")
    }

    /// The key ring and what opens it.
    pub(crate) fn keychain(&self, clock: Clock) -> Keychain {
        let root = RootKey::of(&self.root_key, &self.root_key());
        Keychain::new(self.ring(), root, self.origin(), clock)
    }

    /// The database that replicas share, if there is one.
    pub(crate) fn server(&self) -> Result<Option<Server>, Failure> {
        let server = self.state.as_ref().map(MeantState::connect).transpose();
        server.map_err(|why| Failure::configuration(format!("state: {why}")))
    }

    /// The log's own name, which its keys are bound to.
    fn origin(&self) -> PathBuf {
        match self.place {
            0 => self.root.join("origin"),
            place => self.root.join(format!("origin-{place}")),
        }
    }
}

impl Vault {
    /// Opens a data directory, or begins one.
    pub(crate) fn open(layout: &Layout, ambient: &Ambient) -> Result<Self, Failure> {
        let opened = Self::try_open(layout, ambient)?;
        opened.ok_or_else(|| {
            Failure::configuration(format!(
                "another process uses {}; stop it, or set `data` to another directory",
                layout.root.display()
            ))
        })
    }

    /// Opens a data directory, unless another process has its ledger.
    pub(crate) fn try_open(layout: &Layout, ambient: &Ambient) -> Result<Option<Self>, Failure> {
        let clock = {
            let ambient = ambient.clone();
            Clock::new(move || u64::try_from(ambient.now_ms()).unwrap_or(0))
        };
        own(&layout.root)?;
        let server = layout.server()?;
        let keychain = layout.keychain(clock.clone()).sharing(server.clone());
        let ring = keychain.open()?;
        let mut log_ring = keychain.open_log()?;
        let origin = origin(layout, ambient)?;
        let keys = log_ring.log_keys(&origin).map_err(unusable)?;
        // Before a byte of the ledger is touched: a copy of this directory may run elsewhere.
        let claim = server.as_ref().map(|server| server.claim(&origin)).transpose();
        let claim = claim.map_err(unusable)?;
        let begun = layout.ledger().join("checkpoint").exists();
        if log_ring.log_begun() && !begun && layout.place == 0 {
            return Err(Failure::configuration(format!(
                "the ledger in {} is gone though it was begun; restore it from a copy, or begin a new data directory",
                layout.ledger().display()
            )));
        }
        let opened = Ledger::open(
            &layout.ledger(),
            keys,
            Options {
                adopt: layout.restored,
                ..Options::default()
            },
            Ports::real(clock.clone()),
        );
        let (ledger, opening) = match opened {
            Ok(opened) => opened,
            Err(OpenError::Locked(_)) => return Ok(None),
            Err(error) => return Err(unusable(error)),
        };
        tell(&opening);
        // The log is begun once there are tables, so whoever has a log had them.
        let due = Due {
            begun: log_ring.log_begun(),
            counted: COUNTED,
        };
        let state = match &server {
            None => State::open(&layout.state(), &ring, due, clock, Random::system()),
            Some(server) => State::on(server, &ring, due, clock, Random::system()),
        };
        let state = state.map_err(unusable)?;
        if !log_ring.log_begun() {
            log_ring.mark_log_begun().map_err(unusable)?;
        }
        let store = Store::new(state, keychain);
        let store = match server.zip(claim) {
            None => store,
            Some((server, claim)) => store.sharing(server, origin, claim),
        };
        let index_key = secret(&ring, Use::Index)?;
        Ok(Some(Self {
            ledger,
            digester: ring.digester().map_err(unusable)?,
            subjects: subject_digests(&ring),
            store,
            payloads: layout.payloads(),
            token_seed: secret(&ring, Use::Token)?,
            token_earlier: earlier(&ring, ambient.now_ms()),
            secrets_key: derive(&index_key, b"sallyport: digests of client secrets, version 1"),
            pseudonyms_key: derive(&index_key, b"sallyport: digests of pseudonyms, version 1"),
            marks_key: derive(&index_key, b"sallyport: marks of contexts, version 1"),
            contexts_key: derive(&index_key, b"sallyport: names of declared contexts, version 1"),
        }))
    }

    /// The ledger.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The digester of arguments and results.
    pub(crate) fn digester(&self) -> &Digester {
        &self.digester
    }

    /// The digests of data subjects.
    pub(crate) fn subjects(&self) -> &SubjectDigests {
        &self.subjects
    }

    /// The payloads of calls. Made when they are first asked for.
    pub(crate) fn payloads(&self) -> Result<Payloads, Failure> {
        match self.store.server() {
            Some(server) => Ok(Payloads::on(server)),
            None => Payloads::open(&self.payloads).map_err(unusable),
        }
    }

    /// Whether any payload was ever kept.
    pub(crate) fn has_payloads(&self) -> bool {
        self.store.server().is_some() || self.payloads.exists()
    }

    /// The store.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The seed of the token signing key.
    pub(crate) fn token_seed(&self) -> &[u8; 32] {
        &self.token_seed
    }

    /// The public halves of token signing keys that were in use until lately.
    pub(crate) fn token_earlier(&self) -> &[Vec<u8>] {
        &self.token_earlier
    }

    /// The key of the table of pseudonyms.
    pub(crate) fn pseudonyms_key(&self) -> hmac::Key {
        self.pseudonyms_key.clone()
    }

    /// The key of the marks around untrusted content.
    pub(crate) fn marks_key(&self) -> hmac::Key {
        self.marks_key.clone()
    }

    /// The key of the names of declared contexts.
    pub(crate) fn contexts_key(&self) -> hmac::Key {
        self.contexts_key.clone()
    }

    /// The key of secret digests.
    pub(crate) fn secrets_key(&self) -> hmac::Key {
        self.secrets_key.clone()
    }
}

impl Vault {
    /// Ends the ledger properly: everything written is published.
    pub(crate) async fn close(self) {
        let ledger = self.ledger.clone();
        // Of the tables, too, one file alone is then the whole; unless another process uses them.
        let _ = self.store.state().compact();
        drop(self);
        let _ = tokio::task::spawn_blocking(move || ledger.close()).await;
    }
}

/// Makes the data directory, or refuses one that others can change.
fn own(directory: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let shown = directory.display();
    if !directory.exists() {
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory);
        made.map_err(|error| {
            Failure::configuration(format!("cannot make the data directory {shown}: {error}"))
        })?;
    }
    let metadata = std::fs::metadata(directory)
        .map_err(|error| Failure::configuration(format!("cannot use the data directory {shown}: {error}")))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o022 != 0 {
        return Err(Failure::configuration(format!(
            "others can change the data directory {shown} (mode {mode:03o}); run `chmod 700 {shown}`"
        )));
    }
    Ok(())
}

/// The log's keys, for verifying. Nothing is made.
pub(crate) fn keys_of(layout: &Layout) -> Result<LogKeys, Failure> {
    if !layout.ring().exists() {
        return Err(Failure::configuration(format!(
            "there is no data directory in {}",
            layout.root.display()
        )));
    }
    let origin = std::fs::read_to_string(layout.origin()).map_err(unusable)?;
    let ring = layout.keychain(Clock::new(|| 0)).open_log()?;
    ring.log_keys(origin.trim()).map_err(unusable)
}

/// The log's name: made once, kept beside it.
fn origin(layout: &Layout, ambient: &Ambient) -> Result<String, Failure> {
    let path = layout.origin();
    if let Ok(text) = std::fs::read_to_string(&path) {
        return Ok(text.trim().to_owned());
    }
    let origin = format!("sallyport.local/{}", hex(&ambient.bytes::<6>()));
    std::fs::write(&path, format!("{origin}\n"))
        .map_err(|error| Failure::configuration(format!("cannot write {}: {error}", path.display())))?;
    Ok(origin)
}

/// The public halves of keys whose last tokens may still be valid.
fn earlier(ring: &KeyRing, now_ms: i64) -> Vec<Vec<u8>> {
    let since_ms = u64::try_from(now_ms - TOKENS_LIVE_MS).unwrap_or(0);
    let keys = ring.keys().iter().filter(|key| key.purpose == Use::Token);
    keys.filter(|key| key.retired_ms.is_some_and(|retired_ms| retired_ms >= since_ms))
        .map(|key| key.public.clone())
        .collect()
}

fn secret(ring: &KeyRing, purpose: Use) -> Result<[u8; 32], Failure> {
    let key = ring.current(purpose).map_err(unusable)?;
    let bytes = key
        .secret
        .as_ref()
        .and_then(|secret| <[u8; 32]>::try_from(secret.expose()).ok());
    bytes.ok_or_else(|| Failure::configuration("the key ring is damaged; restore it from a copy"))
}

fn unusable(error: impl std::fmt::Display) -> Failure {
    Failure::configuration(error.to_string())
}

/// Says what was found when the ledger was opened, where a person should know.
fn tell(opening: &Opening) {
    if opening.unknown_outcomes > 0 {
        let calls = opening.unknown_outcomes;
        tracing::warn!("the last process ended in the middle of {calls} call(s); the ledger says so");
    }
    if opening.cut_bytes > 0 {
        tracing::warn!(
            "{} bytes of a torn write were cut from the ledger's end",
            opening.cut_bytes
        );
    }
    if opening.clock_back_ms > 0 {
        tracing::warn!(
            "the clock is {} ms behind the ledger's newest entry: it was set back, or was ahead before; check the \
             machine's time service, since tokens, retention and reports go by it",
            opening.clock_back_ms
        );
    }
    if let Some(original) = &opening.copied_from {
        tracing::warn!(
            "this data directory ({}) is a copy of {original}; run only one of the two, or their ledgers fork",
            opening.instance
        );
    }
}
