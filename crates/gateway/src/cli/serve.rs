//! `sallyport serve`

use std::{
    num::NonZero,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use policy::{RuleId, rules::Effect};
use tokio::{net::UnixListener, sync::watch};

use super::{Common, say};
use crate::{
    ambient::Ambient,
    assemble,
    config::{
        ConfigError, Meant,
        authorization::Switch,
        door::{Source, names},
        find, meant,
        reference::Lookup,
        said::{Mode, Said},
    },
    conversations::contexts,
    evidence::{archive, events, witness},
    failure::Failure,
    listen::{self, House, Listening},
    operate::admin::{control, holders},
    registry::reload,
    storage::{
        replicas,
        vault::{Layout, Vault},
    },
    tls::{self, Acceptor, Authority, Material, acme::Acme},
};

/// How long the first looks at servers may hold the ready line back.
const READY_GRACE: Duration = Duration::from_secs(10);

/// How long a gateway that a bridge started waits for one that is ending.
const PREDECESSOR_WAIT: Duration = Duration::from_secs(20);

/// Threads that carry calls: one for each processor but one. That one is for what works beside them, the ledger's
/// writers and the servers this process starts. Where there is none free, a thread more is no help: it is woken for
/// work that the others would have come to, and a small call costs a fifth more (docs/performance.md).
fn carriers() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    processors.saturating_sub(1).max(1)
}

/// Run the gateway.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Print one line of JSON on standard output when listening.
    #[arg(long)]
    ready_json: bool,
    /// End when no bridge is connected any more; `connect --serve` starts it so.
    #[arg(long, hide = true)]
    while_used: bool,
}

/// Takes up what changes in the configuration while it runs.
fn follow_configuration(house: &Arc<House>, path: PathBuf, meant: &Meant, stopped: &watch::Receiver<bool>) {
    let common = Common {
        config: Some(path.clone()),
        json: false,
    };
    let again = move || load(&common);
    let (house, begun) = (Arc::clone(house), reload::Begun::with(meant));
    tokio::spawn(reload::follow(house, path, begun, again, stopped.clone()));
}

impl Serve {
    /// Runs until told to stop by SIGINT or SIGTERM.
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        let meant = load(common)?;
        start_logging();
        for note in &meant.notes {
            tracing::warn!("{note}");
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(carriers())
            .enable_all()
            .build()
            .map_err(|error| Failure::other(error.to_string()))?;
        runtime.block_on(self.serve(meant, config_path(common)))
    }

    async fn serve(self, meant: Meant, config: Option<PathBuf>) -> Result<(), Failure> {
        let ambient = Ambient::system();
        let (mut listening, vault) = self.occupy(&meant, &ambient).await?;
        let house = assemble::assemble(&meant, listening.address, ambient, &vault)?;
        // Before anybody can call: nobody has signed anything yet.
        let backlog = house.engines.journal.backlog();
        backlog.unwitnessed(meant.witness.required);
        assemble::begin(&house, &meant)?;
        if let Some(why) = deserted(&house, &meant) {
            tracing::warn!("{why}");
        }
        let layout = Layout::new(&meant.data);
        let unable = |error| Failure::configuration(format!("cannot open the control socket: {error}"));
        let control = control::open(&layout.control()).map_err(unable)?;
        let holders = control::open(&layout.hold()).map_err(unable)?;
        let socket = meant.socket.as_deref().map(client_socket).transpose()?;
        let (stop, stopped) = watch::channel(false);
        listening.tls = protect(&house, &meant, &stopped)?;
        tokio::spawn(control::serve(Arc::clone(&house), control, stopped.clone()));
        if let Some(path) = config.clone() {
            follow_configuration(&house, path, &meant, &stopped);
        }
        let stay = if self.while_used {
            holders::Stay::WhileUsed
        } else {
            holders::Stay::UntilTold
        };
        let holding = tokio::spawn(holders::serve(
            holders,
            greeting(&house, config),
            stay,
            stopped.clone(),
        ));
        if let Some(socket) = socket {
            tokio::spawn(listen::serve_socket(Arc::clone(&house), socket, stopped.clone()));
        }
        tokio::spawn(replicas::follow(Arc::clone(&house), stopped.clone()));
        let mut receivers = deliver(&house, &meant, &stopped)?;
        receivers.extend(copy(&house, &meant, &stopped)?);
        let asking = witness::keep_asking(Arc::clone(&house), meant.witness.clone(), stopped.clone());
        let asking = tokio::spawn(asking);
        let serving = tokio::spawn(listen::serve(Arc::clone(&house), listening, stopped.clone()));
        assemble::open(&house, stopped, READY_GRACE).await;
        let asked = asked_to_stop();
        self.announce(&house, &meant);
        tokio::select! {
            () = asked => {}
            _ = holding => {}
        }
        stop.send_replace(true);
        let _ = serving.await;
        house.engines.upstreams.shut_down().await;
        for receiver in receivers {
            let _ = receiver.await;
        }
        asking
            .await
            .map_err(|error| Failure::other(error.to_string()))??;
        house.engines.journal.payloads().close().await;
        contexts::keep(&house.engines.contexts, &house.engines.deposits);
        if let Err(error) = house.engines.incidents.keep_pasts() {
            tracing::error!(%error, "the past of an agent cannot be stored");
        }
        vault.close().await;
        Ok(())
    }

    /// Takes the port and the data directory. One that is ending may have them still.
    async fn occupy(&self, meant: &Meant, ambient: &Ambient) -> Result<(Listening, Vault), Failure> {
        let wait = if self.while_used {
            PREDECESSOR_WAIT
        } else {
            Duration::ZERO
        };
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let late = tokio::time::Instant::now() >= deadline;
            match Listening::bind(meant.door.listen).await {
                Err(error) if late => {
                    return Err(Failure::configuration(format!(
                        "cannot listen on {}: {error}; stop what uses the port, or set `listen` to another",
                        meant.door.listen
                    )));
                }
                Ok(listening) if late => return Ok((listening, Vault::open(&Layout::of(meant), ambient)?)),
                Ok(listening) => {
                    if let Some(vault) = Vault::try_open(&Layout::of(meant), ambient)? {
                        return Ok((listening, vault));
                    }
                }
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn announce(&self, house: &House, meant: &Meant) {
        let base = &house.base;
        let door = &meant.door;
        let authority = door.tls.as_ref().filter(|tls| tls.source == Source::Development);
        let authority = authority.map(|_| meant.data.join(tls::AUTHORITY).display().to_string());
        if self.ready_json {
            let line = wire::json::object(|out| {
                out.string("event", "ready");
                out.object("endpoints", |out| {
                    out.string("base", base);
                    out.string("mcp", &format!("{base}/mcp"));
                    out.string("token", &format!("{base}/oauth/token"));
                    out.string("issuer", base);
                    out.string("jwks", &format!("{base}/.well-known/jwks.json"));
                    out.string("health", &format!("{base}/healthz"));
                });
                if let Some(authority) = &authority {
                    out.string("authority", authority);
                }
            });
            say(&String::from_utf8_lossy(&line));
        } else {
            say(&format!("listening on {base}/mcp"));
            if let Some(authority) = authority {
                say(&format!("clients have to believe {authority}"));
            }
        }
    }
}

/// Why nobody can do anything here as it stands, and the command that changes it.
fn deserted(house: &House, meant: &Meant) -> Option<&'static str> {
    let engines = &house.engines;
    let rules = engines.rules();
    // What every pack permits, so that a conversation may be kept going, lets nothing be called.
    let calls = |id: &RuleId| !id.0.starts_with("baseline.");
    let is_permitted = rules
        .rules()
        .any(|(id, effect, _)| effect == Effect::Permit && calls(id));
    if !is_permitted && meant.mode == Mode::Enforce {
        return Some(
            "nobody can use anything here: no rule permits it. `sallyport import FILE` takes a client's \
             servers over and writes rules for them; or set `policy`: with \
             `{ packs: [developer-workstation] }` agents with the role `owner` may use what is approved",
        );
    }
    let is_open = engines.local.is_some()
        || !meant.issuers.is_empty()
        || !meant.authorization.logins.is_empty()
        || meant.enrolment == Switch::On
        || !engines.people.clients().is_empty();
    (!is_open).then_some(
        "nobody can come in here: there is no agent, nobody who can log in, no identity provider and no \
         `anonymous`. `sallyport agent add NAME --role ROLE` makes an agent",
    )
}

/// Tells receivers of events what happens.
fn deliver(
    house: &Arc<House>,
    meant: &Meant,
    stop: &watch::Receiver<bool>,
) -> Result<Vec<tokio::task::JoinHandle<()>>, Failure> {
    if meant.events.is_empty() {
        return Ok(Vec::new());
    }
    let origin = house.store.keychain().origin()?;
    let journal = &house.engines.journal;
    let receivers = meant.events.iter().map(|receiver| {
        tokio::spawn(events::follow(
            receiver.clone(),
            journal.ledger().clone(),
            origin.clone(),
            house.store.clone(),
            journal.backlog().clone(),
            stop.clone(),
        ))
    });
    Ok(receivers.collect())
}

/// Copies the ledger to where it is archived.
fn copy(
    house: &Arc<House>,
    meant: &Meant,
    stop: &watch::Receiver<bool>,
) -> Result<Option<tokio::task::JoinHandle<()>>, Failure> {
    let Some(archive) = meant.archive.clone() else {
        return Ok(None);
    };
    let (origin, journal) = (house.store.keychain().origin()?, &house.engines.journal);
    let (reader, ambient) = (journal.ledger().reader(), house.engines.ambient.clone());
    let copy = archive::Copy::new(archive, &origin, reader, ambient)?;
    Ok(Some(tokio::spawn(copy.follow(journal.clone(), stop.clone()))))
}

/// What the listener's connections go through, where there is TLS; and follows its files.
fn protect(
    house: &Arc<House>,
    meant: &Meant,
    stop: &watch::Receiver<bool>,
) -> Result<Option<Arc<Acceptor>>, Failure> {
    let Some(meant_tls) = meant.door.tls.clone() else {
        return Ok(None);
    };
    let acme = match &meant_tls.source {
        Source::Acme(acme) => {
            let ambient = house.engines.ambient.clone();
            Some(Acme::new(acme.clone(), house.store.clone(), ambient))
        }
        Source::Development | Source::Files { .. } => None,
    };
    let issue = {
        let (house, data, acme) = (Arc::clone(house), meant.data.clone(), acme.clone());
        move || {
            // Until the authority has given one, there is one of the gateway's own, which nobody believes unasked.
            if let Some(kept) = acme.as_ref().map(Acme::kept).transpose()?.flatten() {
                return Ok(kept);
            }
            let names = names(house.hosts.iter());
            Authority::open(&house.store, &data, names, &house.engines.ambient)?.issue()
        }
    };
    let acceptor = Material::read(&meant_tls, &issue)
        .and_then(|material| Acceptor::new(material, meant_tls.post_quantum))
        .map_err(|why| Failure::configuration(format!("tls: {why}")))?;
    let acceptor = Arc::new(acceptor);
    if let Some(acme) = acme {
        let (meant_tls, issue, renewed) = (meant_tls.clone(), issue.clone(), Arc::clone(&acceptor));
        let renew = move || Material::read(&meant_tls, &issue).and_then(|material| renewed.renew(material));
        let journal = house.engines.journal.clone();
        tokio::spawn(acme.follow(Arc::clone(&acceptor), journal, renew, stop.clone()));
    }
    tokio::spawn(tls::follow(
        Arc::clone(&acceptor),
        meant_tls,
        house.engines.journal.clone(),
        issue,
        stop.clone(),
    ));
    Ok(Some(acceptor))
}

/// Opens the socket that clients connect to.
fn client_socket(path: &Path) -> Result<UnixListener, Failure> {
    listen::open_socket(path).map_err(|error| {
        let shown = path.display();
        Failure::configuration(format!(
            "cannot listen at {shown}: {error}; create its directory, or set `socket` to another path"
        ))
    })
}

/// What those who hold the gateway open are told.
fn greeting(house: &House, config: Option<PathBuf>) -> Vec<u8> {
    let mut line = wire::json::object(|out| {
        out.string("base", &house.base);
        if let Some(config) = config {
            out.string("config", &config.display().to_string());
        }
    });
    line.push(b'\n');
    line
}

/// The configuration file in use, as an absolute path.
pub(super) fn config_path(common: &Common) -> Option<PathBuf> {
    let env = |name: &str| std::env::var(name).ok();
    let path = common.config.clone().or_else(|| find::find(&env))?;
    Some(std::path::absolute(&path).unwrap_or(path))
}

/// Reads the configuration and finds out what it means.
pub(crate) fn load(common: &Common) -> Result<Meant, Failure> {
    let env = |name: &str| std::env::var(name).ok();
    let path = common.config.clone().or_else(|| find::find(&env));
    let said = match &path {
        Some(path) => find::read(path)?,
        None => Said::default(),
    };
    let base = path
        .as_deref()
        .and_then(Path::parent)
        .filter(|parent| !parent.as_os_str().is_empty());
    let base = base.unwrap_or_else(|| Path::new("."));
    let base = std::path::absolute(base).unwrap_or_else(|_| base.to_path_buf());
    let lookup = Lookup::new(&env, &base);
    let is_blank = said.is_blank;
    match meant::mean(said, &lookup, &find::default_data(&env)) {
        Ok(mut meant) => {
            let file = path.as_ref().and_then(|path| std::path::absolute(path).ok());
            meant.blank.extend(file.clone().filter(|_| is_blank));
            meant.hidden.extend(file);
            meant.file = path;
            Ok(meant)
        }
        Err(problems) => Err(ConfigError::Problems { path, problems }.into()),
    }
}

pub(super) fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("SALLYPORT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    // Where somebody has set logging up already, theirs stays.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would panic where standard error is closed.
        .log_internal_errors(false)
        .try_init();
}

/// Resolves when somebody ends us. Whoever is told that we are ready may do so at once: heeded from the call on.
pub(super) fn asked_to_stop() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut kinds = vec![SignalKind::interrupt(), SignalKind::terminate()];
    if heeds_hangup() {
        kinds.push(SignalKind::hangup());
    }
    let signals: Vec<_> = kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect();
    async move {
        let mut waiting = tokio::task::JoinSet::new();
        for mut signal in signals {
            waiting.spawn(async move { signal.recv().await });
        }
        if waiting.join_next().await.is_none() {
            std::future::pending().await
        }
    }
}

/// Whether the end of the terminal is to reach us: `nohup` has it ignored, and so it stays.
fn heeds_hangup() -> bool {
    const HANGUP: u64 = 1;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.unwrap_or(0) & HANGUP == 0
}
