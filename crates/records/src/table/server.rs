//! A database that several replicas share: PostgreSQL.
//!
//! Each connection has a thread of its own, since callers must not wait inside a runtime; a caller waits for its
//! answer, and for all answers of a transaction never longer than [`ANSWER`]. What was lost in the middle is an error, never tried again by itself:
//! only the caller knows whether that is right. Where the server cannot be reached, callers hear so at once, and
//! one of them a second tries again.
//!
//! Writers are one at a time over all replicas: each takes the lock of the count of changes first.

use std::{
    collections::HashMap,
    error::Error,
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use postgres::{
    Client, Config, Socket, Statement,
    config::{Host, SslMode, TargetSessionAttrs},
    error::Severity,
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
    types::{FromSql, IsNull, ToSql, Type, to_sql_checked},
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio_rustls::TlsConnector;

use super::{
    StateError, schema,
    sql::{Access, Row, Sql, Value},
};
use crate::keys::RingPlace;

/// How long the answers of a transaction are waited for: shorter than a caller waits for the beginning of an answer, who
/// is then told in plain HTTP when to come again.
const ANSWER: Duration = Duration::from_secs(8);
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// How long nobody tries again after the server could not be reached.
const PAUSE: Duration = Duration::from_secs(1);

/// Settings of every connection. A statement ends before a caller gives up; what is committed is on disk.
const SETTINGS: &str = "
    SET statement_timeout = '5s';
    SET lock_timeout = '5s';
    SET idle_in_transaction_session_timeout = '30s';
    SET search_path = sallyport, pg_temp;
    SET client_min_messages = warning;
    SELECT set_config('synchronous_commit', 'on', false)
        WHERE current_setting('synchronous_commit') IN ('off', 'local');
";

/// A database on a PostgreSQL server. Clones are the same.
#[derive(Clone, Debug)]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    tls: Arc<ClientConfig>,
    down_until: Mutex<Option<Instant>>,
    /// Nothing that was asked since has been answered.
    is_lost: AtomicBool,
}

impl fmt::Debug for Inner {
    /// Without what it logs in with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}

impl Server {
    /// Connects to the database an address names (`postgresql://...`), and brings its tables to this program's
    /// schema. A server that is neither on this machine nor proves who it is over TLS is refused.
    ///
    /// # Errors
    /// When the address cannot be used, the server cannot be reached, or its tables are newer.
    pub fn connect(address: &str, tls: Arc<ClientConfig>) -> Result<Self, StateError> {
        // The parser's own words may have the password in them.
        let mut config: Config = address.parse().map_err(|_| StateError::Address)?;
        let local = config.get_hosts().iter().all(|host| match host {
            Host::Tcp(name) => matches!(name.as_str(), "localhost" | "127.0.0.1" | "::1"),
            Host::Unix(_) => true,
        });
        let local = local && config.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback);
        if !local && config.get_ssl_mode() == SslMode::Disable {
            return Err(StateError::Unencrypted);
        }
        if !local {
            config.ssl_mode(SslMode::Require);
        }
        config.connect_timeout(CONNECT);
        config.tcp_user_timeout(ANSWER);
        config.keepalives_idle(ANSWER);
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        if config.get_application_name().is_none() {
            config.application_name("sallyport");
        }
        let server = Self {
            inner: Arc::new(Inner {
                config,
                tls,
                down_until: Mutex::default(),
                is_lost: AtomicBool::new(false),
            }),
        };
        schema::prepare_server(&mut server.session())?;
        Ok(server)
    }

    /// Which database it is, for messages: without any secret.
    #[must_use]
    pub fn name(&self) -> String {
        let config = &self.inner.config;
        let host = config.get_hosts().first().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
        format!("{database} on {}", host.unwrap_or_default())
    }

    /// Whether it could not be reached when it was last asked.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.inner.is_lost.load(Ordering::Relaxed)
    }

    /// A connection, made when it is first used.
    pub(super) fn session(&self) -> Session {
        Session {
            server: self.clone(),
            wire: None,
            until: None,
        }
    }

    /// The right to write the log of this name, which one process has at a time over all machines.
    ///
    /// # Errors
    /// When another has it, or the database refuses.
    pub fn claim(&self, log: &str) -> Result<Claim, StateError> {
        let mut claim = Claim {
            session: self.session(),
            log: log.to_owned(),
        };
        claim.hold()?;
        Ok(claim)
    }

    /// Where the key ring is that replicas share.
    #[must_use]
    pub fn ring(&self) -> Arc<dyn RingPlace> {
        Arc::new(SharedRing {
            server: self.clone(),
            seen: Mutex::default(),
        })
    }

    fn down(&self) -> MutexGuard<'_, Option<Instant>> {
        self.inner
            .down_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The key ring on the server: changed only by whoever saw it as it is.
#[derive(Debug)]
struct SharedRing {
    server: Server,
    seen: Mutex<Option<Vec<u8>>>,
}

impl SharedRing {
    fn seen(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RingPlace for SharedRing {
    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let found = self.server.session().within(Access::Read, |sql| {
            let found = sql.first("SELECT bytes FROM ring", &[])?;
            found.map(|mut row| row.bytes()).transpose()
        });
        let found = found.map_err(io::Error::other)?;
        self.seen().clone_from(&found);
        Ok(found)
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let mut seen = self.seen();
        let changed = self
            .server
            .session()
            .within(Access::Write, |sql| match seen.as_deref() {
                None => {
                    let insert = "INSERT INTO ring (id, bytes) VALUES (1, ?1) ON CONFLICT (id) DO NOTHING";
                    sql.execute(insert, &[bytes.into()])
                }
                Some(old) => {
                    let update = "UPDATE ring SET bytes = ?2 WHERE bytes = ?1";
                    sql.execute(update, &[old.into(), bytes.into()])
                }
            });
        if changed.map_err(io::Error::other)? != 1 {
            return Err(io::Error::other(
                "another replica changed it meanwhile; try again",
            ));
        }
        *seen = Some(bytes.to_vec());
        Ok(())
    }
}

/// The right to write a log. Whoever drops it gives it back.
#[derive(Debug)]
pub struct Claim {
    session: Session,
    log: String,
}

impl Claim {
    /// Makes sure of the right, and takes it again where the connection was lost meanwhile.
    ///
    /// # Errors
    /// [`StateError::Claimed`] when another process has it now: then this one must not write any more. Otherwise
    /// when the database cannot be asked.
    pub fn hold(&mut self) -> Result<(), StateError> {
        let sql = "SELECT CASE WHEN EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory'
                       AND pid = pg_backend_pid() AND objsubid = 1 AND granted) THEN 1
                   WHEN pg_try_advisory_lock(hashtextextended(?1, 0)) THEN 1 ELSE 0 END";
        let log = Value::from(self.log.as_str());
        let held = self.session.within(Access::Read, |database| {
            let row = database.first(sql, &[log])?;
            row.ok_or(StateError::Column)?.integer()
        })?;
        (held == 1)
            .then_some(())
            .ok_or_else(|| StateError::Claimed(self.log.clone()))
    }
}

/// One connection, made again after it was lost.
#[derive(Debug)]
pub(super) struct Session {
    server: Server,
    wire: Option<Wire>,
    /// When the transaction's caller waits no longer.
    until: Option<Instant>,
}

/// The thread that has the connection.
#[derive(Debug)]
struct Wire {
    asks: SyncSender<Ask>,
    answers: Receiver<Result<Answer, postgres::Error>>,
}

enum Ask {
    Batch(&'static str),
    Execute(&'static str, Vec<Value>),
    Query(&'static str, Vec<Value>),
}

enum Answer {
    Done,
    Count(u64),
    Rows(Vec<Row>),
}

impl Session {
    /// Does something whole, or nothing of it.
    pub(super) fn within<T>(
        &mut self,
        access: Access,
        work: impl FnOnce(&mut dyn Sql) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        self.until = Some(Instant::now() + ANSWER);
        let done = self.transaction(access, work);
        self.until = None;
        done
    }

    fn transaction<T>(
        &mut self,
        access: Access,
        work: impl FnOnce(&mut dyn Sql) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        self.begin(access)?;
        let done = work(self);
        let ended = match &done {
            Ok(_) => self.ask_within(Ask::Batch("COMMIT")),
            Err(_) => self.ask_within(Ask::Batch("ROLLBACK")),
        };
        match done {
            Ok(done) => ended.map(|_| done),
            Err(error) => Err(error),
        }
    }

    /// The same for whoever makes the tables, alone over all replicas.
    pub(super) fn alone<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        self.batch("BEGIN; SELECT pg_advisory_xact_lock(7162833)")?;
        let done = work(self)?;
        self.batch("COMMIT").map(|()| done)
    }

    /// Statements that stand alone.
    pub(super) fn batch(&mut self, sql: &'static str) -> Result<(), StateError> {
        self.ask(Ask::Batch(sql)).map(|_| ())
    }

    fn begin(&mut self, access: Access) -> Result<(), StateError> {
        let sql = match access {
            Access::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Access::Write => "BEGIN; SELECT value FROM changes FOR UPDATE",
        };
        let was_connected = self.wire.is_some();
        match self.batch(sql) {
            // The connection was lost while nobody used it, and nothing was done yet.
            Err(StateError::Unreachable(_)) if was_connected => self.batch(sql),
            done => done,
        }
        .inspect_err(|_| self.wire = None)
    }

    fn ask(&mut self, ask: Ask) -> Result<Answer, StateError> {
        let answer = self.ask_once(ask);
        match &answer {
            Err(StateError::Unreachable(_)) => self.server.inner.is_lost.store(true, Ordering::Relaxed),
            Ok(_) | Err(_) => self.server.inner.is_lost.store(false, Ordering::Relaxed),
        }
        answer
    }

    /// How long an answer is still waited for.
    fn left(&self) -> Duration {
        self.until
            .map_or(ANSWER, |until| until.saturating_duration_since(Instant::now()))
    }

    fn ask_once(&mut self, ask: Ask) -> Result<Answer, StateError> {
        let wire = match self.wire.take() {
            Some(wire) => wire,
            None => self.connect()?,
        };
        // Whatever goes wrong with the connection, it is not used again.
        if wire.asks.send(ask).is_err() {
            return Err(unreachable("the connection is lost"));
        }
        match wire.answers.recv_timeout(self.left()) {
            Ok(Ok(answer)) => {
                self.wire = Some(wire);
                Ok(answer)
            }
            Ok(Err(error)) if leaves_open(&error) => {
                self.wire = Some(wire);
                Err(StateError::Postgres(error))
            }
            Ok(Err(error)) => Err(unreachable(&worded(&error))),
            Err(RecvTimeoutError::Timeout) => {
                // Whoever waits for this connection would wait as long for another.
                *self.server.down() = Some(Instant::now() + PAUSE);
                Err(unreachable("it does not answer"))
            }
            Err(RecvTimeoutError::Disconnected) => Err(unreachable("the connection is lost")),
        }
    }

    fn connect(&self) -> Result<Wire, StateError> {
        let now = Instant::now();
        if self.server.down().is_some_and(|until| now < until) {
            return Err(unreachable("it could not be reached a moment ago"));
        }
        let connected = self.try_connect();
        *self.server.down() = connected.is_err().then(|| Instant::now() + PAUSE);
        connected
    }

    fn try_connect(&self) -> Result<Wire, StateError> {
        let (asks, asked) = sync_channel(1);
        let (answer, answers) = sync_channel(1);
        let (config, tls) = (
            self.server.inner.config.clone(),
            Tls(Arc::clone(&self.server.inner.tls)),
        );
        std::thread::Builder::new()
            .name("postgres".to_owned())
            .spawn(move || serve(&config, tls, &asked, &answer))
            .map_err(|error| unreachable(&error.to_string()))?;
        match answers.recv_timeout(self.left()) {
            Ok(Ok(_)) => Ok(Wire { asks, answers }),
            Ok(Err(error)) => Err(unreachable(&worded(&error))),
            Err(_) => Err(unreachable("it does not answer")),
        }
    }
}

impl Sql for Session {
    fn query(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, StateError> {
        match self.ask_within(Ask::Query(sql, values.to_vec()))? {
            Answer::Rows(rows) => Ok(rows),
            Answer::Done | Answer::Count(_) => Err(StateError::Column),
        }
    }

    fn execute(&mut self, sql: &'static str, values: &[Value]) -> Result<usize, StateError> {
        match self.ask_within(Ask::Execute(sql, values.to_vec()))? {
            Answer::Count(count) => Ok(usize::try_from(count).unwrap_or(usize::MAX)),
            Answer::Done | Answer::Rows(_) => Err(StateError::Column),
        }
    }
}

impl Session {
    /// A statement of a transaction: over a new connection it would stand outside of it.
    fn ask_within(&mut self, ask: Ask) -> Result<Answer, StateError> {
        if self.wire.is_none() {
            return Err(unreachable(
                "the connection was lost in the middle of a transaction",
            ));
        }
        self.ask(ask)
    }
}

/// The life of a connection: one answer for being connected, then one for each question.
fn serve(
    config: &Config,
    tls: Tls,
    asked: &Receiver<Ask>,
    answer: &SyncSender<Result<Answer, postgres::Error>>,
) {
    let connected = config.connect(tls).and_then(|mut client| {
        client.batch_execute(SETTINGS)?;
        Ok(client)
    });
    let mut client = match connected {
        Ok(client) => client,
        Err(error) => {
            let _ = answer.send(Err(error));
            return;
        }
    };
    if answer.send(Ok(Answer::Done)).is_err() {
        return;
    }
    let mut statements = HashMap::new();
    while let Ok(ask) = asked.recv() {
        if answer.send(done(&mut client, &mut statements, ask)).is_err() {
            return;
        }
    }
}

fn done(
    client: &mut Client,
    statements: &mut HashMap<&'static str, Statement>,
    ask: Ask,
) -> Result<Answer, postgres::Error> {
    let mut prepared = |client: &mut Client, sql: &'static str| {
        if let Some(statement) = statements.get(sql) {
            return Ok(statement.clone());
        }
        // The parameters of the other dialect.
        let statement = client.prepare(&sql.replace('?', "$"))?;
        statements.insert(sql, statement.clone());
        Ok::<_, postgres::Error>(statement)
    };
    match ask {
        Ask::Batch(sql) => client.batch_execute(sql).map(|()| Answer::Done),
        Ask::Execute(sql, values) => {
            let statement = prepared(client, sql)?;
            client
                .execute(&statement, &parameters(&values))
                .map(Answer::Count)
        }
        Ask::Query(sql, values) => {
            let statement = prepared(client, sql)?;
            let rows = client.query(&statement, &parameters(&values))?;
            let row = |row: &postgres::Row| -> Result<Row, postgres::Error> {
                let columns: Result<_, _> = (0..row.len()).map(|column| row.try_get(column)).collect();
                columns.map(Row::new)
            };
            rows.iter().map(row).collect::<Result<_, _>>().map(Answer::Rows)
        }
    }
}

fn parameters(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

/// Whether the connection is as good as before an error.
fn leaves_open(error: &postgres::Error) -> bool {
    let severity = error
        .as_db_error()
        .and_then(postgres::error::DbError::parsed_severity);
    severity == Some(Severity::Error) && !error.is_closed()
}

fn unreachable(why: &str) -> StateError {
    StateError::Unreachable(why.to_owned())
}

/// An error with its causes.
fn worded(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Integer(value) if *ty == Type::INT4 => i32::try_from(*value)?.to_sql(ty, out),
            Self::Integer(value) => value.to_sql(ty, out),
            Self::Text(value) => value.to_sql(ty, out),
            Self::Bytes(value) => value.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(match *ty {
            Type::INT4 => Self::Integer(i32::from_sql(ty, raw)?.into()),
            Type::INT8 => Self::Integer(i64::from_sql(ty, raw)?),
            Type::BYTEA => Self::Bytes(Vec::from_sql(ty, raw)?),
            _ => Self::Text(String::from_sql(ty, raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self::Null)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT4 | Type::INT8 | Type::BYTEA) || <String as FromSql<'_>>::accepts(ty)
    }
}

/// TLS as the rest of the program has it.
#[derive(Clone)]
struct Tls(Arc<ClientConfig>);

/// The same, to one server.
struct TlsTo(TlsConnector, ServerName<'static>);

/// A stream over TLS.
struct Secured(tokio_rustls::client::TlsStream<Socket>);

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Secured;
    type TlsConnect = TlsTo;
    type Error = rustls::pki_types::InvalidDnsNameError;

    fn make_tls_connect(&mut self, domain: &str) -> Result<TlsTo, Self::Error> {
        let name = ServerName::try_from(domain)?.to_owned();
        Ok(TlsTo(TlsConnector::from(Arc::clone(&self.0)), name))
    }
}

impl TlsConnect<Socket> for TlsTo {
    type Stream = Secured;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Secured, io::Error>> + Send>>;

    fn connect(self, stream: Socket) -> Self::Future {
        Box::pin(async move { self.0.connect(self.1, stream).await.map(Secured) })
    }
}

impl TlsStream for Secured {
    /// The certificate is verified, name and all, so the password is bound to the server without it.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl tokio::io::AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl tokio::io::AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
