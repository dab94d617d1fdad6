//! Assembly: the only file that names all engines and puts them together.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use identity::{
    ContextNames, Local, Nonces, Once, ResourceId,
    jose::{PublicKey, SigningKey},
    proof::Proofs,
    signature::Signatures,
    token::{Issuer, TokenCache, Verifier},
};
use inspect::Inspector;
use pipeline::Pipeline;
use policy::{
    registry::ItemKind,
    rules::{ArgumentType, Known, Lists, RuleSet, RuleSource},
};
use records::{
    disk::RealDisk,
    ledger::{Decision, Kind, Reader},
};
use tokio::sync::{Semaphore, watch};
use upstream::{Upstreams, sandbox::Room};
use wire::{
    json::{Document, Keys},
    mcp::ServerName,
};

use crate::known::enrolments::Enrolments;
use crate::{
    ambient::Ambient,
    config::{
        ConfigError, Meant, authorization::Nonce, issuers::MeantIssuer, said::Mode, servers::MeantServer,
    },
    conversations::{
        behind::Behind,
        contexts::{self, ContextStore, DepositStore},
        cursor::Cursors,
        lists,
        parked::Parking,
        sessions::Sessions,
        task_desks::TaskDesks,
        task_owners::TaskOwners,
    },
    engines::{
        Channels, Desk, Disguise, Engines, LimitStore, Listeners, Models, Terms, Tokens, Told, observing,
    },
    evidence::{
        incidents,
        journal::{Digests, Journal},
        witness::{Duty, Witness},
    },
    failure::Failure,
    known::{
        authorization::{Authorization, Elsewhere, Throttle},
        issuers::{Guarded, Provider, Providers},
        people::People,
        reviews::Revoked,
    },
    listen::{CONVERSATIONS_MAX, EventStreams, House, stopped},
    operate::{admin, console::Console, halts::Halts},
    outside::{egress::Egress, interceptors::Interceptors, judge::Judge, outbound::Outbound},
    registry::{boxes, keeper::Keeper, policy_version, supply::Shelf},
    storage::{
        payloads::{Payloads, Tally},
        store::{Store, StoreError},
        vault::{Layout, Vault},
    },
};

/// How often what is over is cleared away.
const SWEEP: Duration = Duration::from_secs(5);
/// When the start is over, with the first look at servers that are quick.
const SETTLED: Duration = Duration::from_secs(3);

/// Puts the house together. Nothing listens and nothing is started yet.
pub(crate) fn assemble(
    meant: &Meant,
    address: SocketAddr,
    ambient: Ambient,
    vault: &Vault,
) -> Result<Arc<House>, Failure> {
    let sources = rule_sources(meant)?;
    let rules = with_reviews(&sources, vault.store())?;
    let (watch, incidents) = incidents::open(vault.store().clone(), meant.incidents.clone())
        .map_err(|error| Failure::other(error.to_string()))?;
    let digests = Digests::new(vault.digester().clone(), vault.subjects().clone());
    let payloads = payloads(meant, vault)?;
    let ledger = vault.ledger().clone();
    let journal = Journal::new(ledger, digests, payloads, ambient.clone(), watch, meant.outcome);
    let scheme = if meant.door.tls.is_some() { "https" } else { "http" };
    let base = meant.door.url.clone();
    let base = base.unwrap_or_else(|| format!("{scheme}://{address}"));
    let behind = Behind::default();
    let trusted = meant.issuers.iter().map(|one| one.trust.issuer.to_string());
    let trusted = trusted.collect();
    let outbound = Arc::new(Outbound::new(
        base.clone(),
        (
            Issuer::new(base.clone(), signing_key(vault)?, Vec::new()),
            trusted,
        ),
        vault.store().clone(),
        journal.clone(),
        ambient.clone(),
    ));
    let credentials = Arc::<Outbound>::clone(&outbound);
    let upstreams = Upstreams::new(Arc::new(behind.clone()), credentials, room(meant))
        .map_err(|error| Failure::other(error.to_string()))?;
    let upstreams = Arc::new(upstreams);
    let inspector = Inspector::new(&meant.inspection).map_err(|error| Failure::other(error.to_string()))?;
    let halts = Halts::open(vault.store().clone()).map_err(|error| Failure::other(error.to_string()))?;
    let keeper = Keeper::new(
        Arc::clone(&upstreams),
        inspector.clone(),
        vault.store().clone(),
        Shelf::open(
            vault.store().clone(),
            Layout::new(&meant.data).packages(),
            meant.osv.clone(),
            meant.provenance.clone(),
        )
        .map_err(|error| Failure::other(error.to_string()))?,
        journal.clone(),
        ambient.clone(),
        halts.clone(),
    );
    let mut servers = meant.servers.clone();
    servers.extend(added(vault.store(), &servers)?);
    for server in &servers {
        let placed = outbound.place(server);
        placed
            .map_err(|why| Failure::configuration(format!("mcpServers.{}.auth: {why}", server.spec.name)))?;
    }
    keeper.configure(&servers, meant.approve)?;
    let limits = LimitStore::new(&meant.limits).map_err(|problems| ConfigError::Problems {
        path: meant.file.clone(),
        problems,
    })?;
    let engines = Engines {
        mode: meant.mode,
        people: People::new(vault.secrets_key()),
        tokens: tokens(&base, meant, vault, &ambient)?,
        local: meant.anonymous.clone().map(Local::as_user),
        contexts: ContextStore::new(vault.store().clone()),
        deposits: DepositStore::open(vault.store().clone())
            .map_err(|error| Failure::other(error.to_string()))?,
        keeper: Arc::new(keeper),
        halts,
        incidents,
        inspector,
        models: Models::new(&meant.models).map_err(Failure::configuration)?,
        terms: Terms::default(),
        told: Told::open(vault.store().clone()).map_err(|error| Failure::other(error.to_string()))?,
        interceptors: Interceptors::new(
            meant.interceptors.clone(),
            Arc::clone(&upstreams),
            ambient.clone(),
        ),
        judge: meant
            .judge
            .clone()
            .map(|judge| Judge::new(judge, ambient.clone()))
            .transpose()
            .map_err(Failure::configuration)?,
        marks_key: vault.marks_key(),
        disguise: Disguise::new(vault.store().clone(), vault.pseudonyms_key()),
        rules: RwLock::new(Arc::new(rules)),
        lists: Lists::default(),
        sources: Mutex::new(sources),
        review_days: meant.review_days,
        limits,
        desk: Desk::open(vault.store().clone(), meant.approvals.expires)
            .map_err(|error| Failure::other(error.to_string()))?,
        channels: Channels::new(&base, &meant.approvals)?,
        journal,
        upstreams,
        sessions: Sessions::default(),
        outbound,
        parking: Parking::new(&ambient)
            .ok_or_else(|| Failure::other("no key to seal with can be made".to_owned()))?,
        cursors: Cursors::new(&ambient)
            .ok_or_else(|| Failure::other("no key to seal with can be made".to_owned()))?,
        listeners: Listeners::default(),
        behind: behind.clone(),
        egress: Egress::new(Layout::new(&meant.data).egress()),
        task_owners: TaskOwners::default(),
        task_desks: TaskDesks::default(),
        observing: observing().map_err(|errors| Failure::other(errors.to_string()))?,
        empty: Document::parse(b"{}".to_vec(), Keys::Exact, &wire::bounds::REQUEST)
            .map_err(|error| Failure::other(error.to_string()))?,
        ambient,
    };
    let engines = Arc::new(engines);
    let authorization = Authorization::open(
        (
            &meant.authorization,
            Elsewhere::of(&meant.issuers, &engines.tokens.providers),
        ),
        engines.people.key(),
        vault.store().clone(),
        &engines.ambient,
    );
    let duty = Duty::of(&meant.witness, vault.store(), &engines.journal, &engines.ambient)?;
    let house = Arc::new(House {
        witness: Witness {
            duty,
            ..Witness::default()
        },
        authorization: authorization.map_err(Failure::other)?,
        console: Console::new(
            meant.console.clone(),
            Reader::new(Arc::new(RealDisk), &Layout::new(&meant.data).ledger()),
        ),
        enrolments: Enrolments::open(vault.store().clone(), meant.enrolment)
            .map_err(|error| Failure::other(error.to_string()))?,
        pipeline: Pipeline::new(Arc::clone(&engines)),
        store: vault.store().clone(),
        operators: meant.operators.clone(),
        engines,
        base,
        hosts: hosts(meant, address),
        metrics: meant.metrics,
        origins: meant
            .origins
            .iter()
            .map(|origin| origin.to_ascii_lowercase())
            .collect(),
        groups: meant
            .groups
            .iter()
            .map(|group| (group.name.clone(), Arc::clone(group)))
            .collect(),
        attempts: Throttle::default(),
        event_streams: EventStreams::default(),
        places: Arc::new(Semaphore::new(CONVERSATIONS_MAX)),
    });
    behind.of(&house);
    admin::enlist(&house, meant)?;
    admin::recall_revoked(&house).map_err(|error| Failure::other(error.to_string()))?;
    Ok(house)
}

/// What is kept of calls. Where none ever was and none is to be, there is no file either.
fn payloads(meant: &Meant, vault: &Vault) -> Result<Payloads, Failure> {
    if !meant.payloads.on && !vault.has_payloads() {
        return Ok(Payloads::none());
    }
    let opened = Payloads::open(vault.store().clone(), vault.payloads()?, meant.payloads);
    opened.map_err(|error| Failure::other(error.to_string()))
}

/// What is around the boxes of servers.
pub(crate) fn room(meant: &Meant) -> Room {
    let layout = Layout::new(&meant.data);
    Room {
        hidden: std::iter::once(meant.data.clone())
            .chain(meant.socket.clone())
            .chain(meant.hidden.iter().cloned())
            .collect(),
        kept: layout.homes(),
        egress: layout.egress(),
    }
}

/// Puts the rules in force that the house was assembled with.
pub(crate) fn begin(house: &House, meant: &Meant) -> Result<(), Failure> {
    let engines = &house.engines;
    let rules = engines.rules();
    // What reviews took away may be gone since, and keeps nobody from starting. Nor do rules that were in force before anybody
    // had looked at a server: who ran with them is told of them as it was then, and served.
    if let Err(why) = fitting(&self::rules(meant)?, engines)
        && !policy_version::stood(&house.store, meant)?
    {
        return Err(why);
    }
    let version = policy_version::may_follow(&house.store, meant)?;
    policy_version::keep(&house.store, version.as_ref())?;
    policy_version::stands(&house.store, meant)?;
    let digest = rules.digest().to_owned();
    engines
        .journal
        .note(Kind::Policy, "in-force", &[("policy", digest)]);
    for server in engines.keeper.view().registry.servers() {
        if engines
            .keeper
            .meant(&server.name)
            .is_some_and(|meant| boxes::is_off(&meant))
        {
            let name = server.name.to_string();
            engines
                .journal
                .note(Kind::Configuration, "sandbox-off", &[("server", name)]);
        }
    }
    if engines.mode == Mode::Observe {
        engines.journal.note(
            Kind::Policy,
            "observe-mode",
            &[("why", "refusals are recorded and stop nothing".into())],
        );
    }
    Ok(())
}

/// Starts what runs beside the doors: first looks at the servers, notices of changes, clearing away.
/// Returns when every server was looked at once, or after the grace.
/// Gives those servers that could not be looked at, and why, as far as that is known by then.
pub(crate) async fn open(
    house: &Arc<House>,
    stop: watch::Receiver<bool>,
    grace: Duration,
) -> Vec<(ServerName, String)> {
    tokio::spawn(lists::keep_telling(Arc::clone(house), stop.clone()));
    tokio::spawn(sweep(Arc::clone(house), stop.clone()));
    tokio::spawn(admin::keep_watch(Arc::clone(house), stop.clone()));
    tokio::spawn(admin::remind(Arc::clone(house), stop.clone()));
    tokio::spawn(keep_contexts(Arc::clone(house), stop.clone()));
    tokio::spawn(admin::keep_pasts(Arc::clone(house), stop.clone()));
    tokio::spawn(settle());
    if !house.engines.tokens.providers.is_empty() {
        tokio::spawn(keep_keys(Arc::clone(house), stop));
    }
    let looks = {
        let view = house.engines.keeper.view();
        let names: Vec<_> = view
            .registry
            .servers()
            .filter(|s| s.may_start())
            .map(|s| s.name.clone())
            .collect();
        let mut looks = tokio::task::JoinSet::new();
        for name in names {
            let house = Arc::clone(house);
            looks.spawn(async move { look(&house, &name).await.err().map(|why| (name, why)) });
        }
        looks
    };
    let looking = tokio::spawn(async move {
        let mut looks = looks;
        let mut failed = Vec::new();
        while let Some(look) = looks.join_next().await {
            failed.extend(look.ok().flatten());
        }
        failed
    });
    // Slow servers do not hold the others up: they are announced when they come.
    let looked = tokio::time::timeout(grace, looking).await;
    looked.ok().and_then(Result::ok).unwrap_or_default()
}

/// Looks at a server. One that fails is tried again, less and less often, and nobody waits for that.
async fn look(house: &Arc<House>, name: &ServerName) -> Result<(), String> {
    let seen = see(house, name).await;
    if seen.is_err() {
        tokio::spawn(look_again(Arc::clone(house), name.clone()));
    }
    seen
}

async fn look_again(house: Arc<House>, name: ServerName) {
    let mut wait = Duration::from_secs(1);
    loop {
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(60));
        let view = house.engines.keeper.view();
        let is_gone = view
            .registry
            .server(&name)
            .is_none_or(|server| !server.may_start());
        if is_gone || see(&house, &name).await.is_ok() {
            return;
        }
    }
}

async fn see(house: &House, name: &ServerName) -> Result<(), String> {
    let Err(error) = house.engines.keeper.refresh(name).await else {
        return Ok(());
    };
    tracing::warn!(server = %name, %error, "a server cannot be looked at");
    house.engines.journal.noise(name, &error.to_string());
    Err(error.to_string())
}

/// Gives back the memory of what only the start needed, once that is over: most of an idle gateway's, if it stayed.
async fn settle() {
    tokio::time::sleep(SETTLED).await;
    if let Err(error) = upstream::sandbox::forget_code() {
        tracing::debug!(%error, "the memory of what the start needed is kept");
    }
}

async fn keep_contexts(house: Arc<House>, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        () = stopped(&mut stop) => {}
        () = contexts::keep_keeping(Arc::clone(&house.engines)) => {}
    }
}

async fn keep_keys(house: Arc<House>, mut stop: watch::Receiver<bool>) {
    let (tokens, ambient) = (&house.engines.tokens, &house.engines.ambient);
    let forget = |issuer: &str| tokens.cache.forget_issuer(issuer);
    tokio::select! {
        () = stopped(&mut stop) => {}
        () = tokens.providers.keep_fresh(|| ambient.now_ms(), forget) => {}
    }
}

/// Says in the ledger what could not be kept, and ends what was kept for long enough.
fn tend_payloads(house: &House, now_ms: i64, told: &mut Tally) {
    let journal = &house.engines.journal;
    let counts = journal.payloads().counts();
    if counts.lost > told.lost {
        let count = (counts.lost - told.lost).to_string();
        journal.note(Kind::Gap, "payloads-lost", &[("count", count)]);
    }
    if counts.dropped > told.dropped {
        let count = (counts.dropped - told.dropped).to_string();
        journal.note(Kind::Subject, "dropped", &[("payloads", count)]);
    }
    *told = counts;
    if !journal.payloads().exist() {
        return;
    }
    // Whoever holds or erases somebody is not run into; the next time will do.
    let Ok(_alone) = house.store.people().try_lock() else {
        return;
    };
    let Ok(_everywhere) = house.store.alone_with(admin::SUBJECTS) else {
        return;
    };
    let held = admin::held_subjects(&house.store, &journal.digests().people());
    let done = held.and_then(|held| {
        let now_ms = u64::try_from(now_ms).unwrap_or(0);
        let expired = journal.payloads().expire(now_ms, &held);
        expired.map_err(|error| Failure::other(error.to_string()))
    });
    match done {
        Ok(0) => {}
        Ok(count) => journal.note(Kind::Subject, "expired", &[("payloads", count.to_string())]),
        Err(error) => tracing::error!(%error, "payloads that are over cannot be deleted"),
    }
}

async fn sweep(house: Arc<House>, mut stop: watch::Receiver<bool>) {
    let mut told = Tally::default();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => {
                house.engines.journal.settle(i64::MAX);
                return;
            }
            () = tokio::time::sleep(SWEEP) => {}
        }
        let engines = &house.engines;
        let now_ms = engines.ambient.now_ms();
        engines.journal.settle(now_ms);
        engines.upstreams.sweep();
        if let Err(error) = engines.contexts.sweep(now_ms) {
            tracing::error!(%error, "contexts cannot be stored");
        }
        engines.parking.sweep(now_ms);
        engines.task_desks.sweep(now_ms);
        engines.terms.sweep(engines.ambient.steady_ms());
        house.authorization.sweep(now_ms);
        for request in engines.desk.sweep(now_ms) {
            let expired = engines
                .journal
                .approval(&request, "expired", Decision::Refuse, None);
            drop(expired);
        }
        tend_payloads(&house, now_ms, &mut told);
        for session in engines.sessions.sweep(now_ms) {
            engines.upstreams.end_session(&session.id);
        }
    }
}

/// Servers added by command; those of the configuration come first.
fn added(store: &Store, configured: &[MeantServer]) -> Result<Vec<MeantServer>, Failure> {
    let mut servers = Vec::new();
    for (name, text) in store
        .list(admin::ADDED_SERVERS)
        .map_err(|error| Failure::other(error.to_string()))?
    {
        let parsed = admin::parse_added(&String::from_utf8_lossy(&text));
        match parsed {
            Ok(parsed) => servers.extend(parsed),
            // A server whose secret is missing today must not keep the others from starting.
            Err(error) => tracing::warn!(server = name, %error, "an added server cannot be used"),
        }
    }
    servers.retain(|server| configured.iter().all(|other| other.spec.name != server.spec.name));
    Ok(servers)
}

/// The rules in force: packs first, then the operator's own.
pub(crate) fn rules(meant: &Meant) -> Result<RuleSet, Failure> {
    let parsed = RuleSet::parse(&rule_sources(meant)?);
    parsed.map_err(|errors| Failure::configuration(errors.to_string()))
}

/// The rules of these texts, without what access reviews took away.
pub(crate) fn with_reviews(sources: &[RuleSource], store: &Store) -> Result<RuleSet, Failure> {
    let failed = |error: StoreError| Failure::other(error.to_string());
    let mut sources = sources.to_vec();
    for revoked in Revoked::all(store).map_err(failed)? {
        sources.push(revoked.rule().map_err(failed)?);
    }
    RuleSet::parse(&sources).map_err(|errors| Failure::configuration(errors.to_string()))
}

/// Whether what access reviews took away is another than what is in force.
pub(crate) fn reviews_changed(house: &House) -> Result<bool, Failure> {
    let engines = &house.engines;
    let sources = engines.sources.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(with_reviews(&sources, &house.store)?.digest() != engines.rules().digest())
}

/// Access reviews took something away, or gave it back: it is in force at once.
pub(crate) fn review_again(house: &House) -> Result<(), Failure> {
    let engines = &house.engines;
    let sources = engines.sources.lock().unwrap_or_else(PoisonError::into_inner);
    put_in_force(house, with_reviews(&sources, &house.store)?);
    Ok(())
}

/// Puts rules in force, in one step, and says so.
pub(crate) fn put_in_force(house: &House, rules: RuleSet) {
    let engines = &house.engines;
    let new = rules.digest().to_owned();
    let old = {
        let mut in_force = engines.rules.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *in_force, Arc::new(rules))
            .digest()
            .to_owned()
    };
    if old != new {
        tracing::info!(policy = new, instead_of = old, "other rules are in force");
        engines
            .journal
            .note(Kind::Policy, "in-force", &[("policy", new), ("instead_of", old)]);
    }
    // Who may see what may have changed with it.
    engines.keeper.announce();
}

/// The texts of the rules in force.
pub(crate) fn rule_sources(meant: &Meant) -> Result<Vec<RuleSource>, Failure> {
    if let Some(why) = &meant.unusable {
        return Err(Failure::configuration(why.clone()));
    }
    let packs = policy::packs::sources(meant.packs.iter().map(String::as_str));
    let mut sources = packs.map_err(|error| Failure::configuration(format!("policy.packs: {error}")))?;
    sources.extend(meant.rules.iter().map(|(name, text)| RuleSource {
        name: name.clone(),
        text: text.clone(),
    }));
    Ok(sources)
}

/// Rules speak of servers, tools and arguments there are, as far as anybody has looked. It is asked where rules
/// come into force, and not before: commands that set things right must work meanwhile.
pub(crate) fn fitting(rules: &RuleSet, engines: &Engines) -> Result<(), Failure> {
    let fitting = rules.fits(&known(engines));
    fitting.map_err(|errors| Failure::configuration(errors.to_string()))
}

/// The models and servers there are, and the tools of those that were looked at.
fn known(engines: &Engines) -> Known {
    let mut known = Known::default();
    engines.models.names().for_each(|name| known.model(name));
    for server in engines.keeper.view().registry.servers() {
        known.server(server.name.as_str());
        for ((kind, name), item) in &server.items {
            let definition = item.approved.as_ref().or(item.offered.as_ref());
            if let (ItemKind::Tool, Some(definition)) = (kind, definition) {
                let schema = definition.document().root().get("inputSchema");
                // Where the schema leaves open what a tool takes, what is said of one argument closes nothing.
                let arguments = match schema.map(ArgumentType::of_schema) {
                    None | Some(ArgumentType::Any) => ArgumentType::Any,
                    Some(_) => server.arguments(definition),
                };
                known.tool(server.name.as_str(), name, arguments);
            }
        }
    }
    known
}

fn signing_key(vault: &Vault) -> Result<SigningKey, Failure> {
    let key = SigningKey::from_seed(vault.token_seed());
    key.ok_or_else(|| Failure::other("the token signing key cannot be used".to_owned()))
}

fn tokens(base: &str, meant: &Meant, vault: &Vault, ambient: &Ambient) -> Result<Tokens, Failure> {
    let (now_ms, nonce_key) = (ambient.now_ms(), ambient.bytes::<32>());
    let earlier = vault.token_earlier().iter();
    let earlier = earlier.map(|public| PublicKey::of_earlier(public)).collect();
    let issuer = Issuer::new(base.to_owned(), signing_key(vault)?, earlier);
    let verifier = Verifier::new(base.to_owned(), issuer.keys());
    let resource =
        ResourceId::parse(&format!("{base}/mcp")).map_err(|error| Failure::other(error.to_string()))?;
    Ok(Tokens {
        issuer,
        verifier,
        cache: Arc::new(TokenCache::default()),
        proofs: Proofs::since(now_ms),
        signatures: Signatures::since(now_ms),
        request_proofs: Proofs::since(now_ms),
        // A key of this process: after a restart clients are told a new nonce.
        nonces: match meant.nonce {
            Nonce::Required => Some(Nonces::new(&nonce_key)),
            Nonce::Optional => None,
        },
        assertions: Once::since(now_ms),
        assertion_audiences: [base.to_owned(), format!("{base}/oauth/token")],
        providers: providers(base, &meant.issuers)?,
        contexts: ContextNames::new(vault.contexts_key()),
        resource,
    })
}

fn providers(base: &str, meant: &[MeantIssuer]) -> Result<Providers, Failure> {
    let provider = |meant: &MeantIssuer| {
        let guarded = Guarded::new(meant.network, &meant.authorities)
            .map_err(|why| Failure::configuration(format!("issuers: {why}")))?;
        if *meant.trust.issuer == *base {
            let why = "issuers: one has the name of the gateway's own; leave it out";
            return Err(Failure::configuration(why));
        }
        Ok(Provider::new(
            meant.trust.clone(),
            (meant.jwks.clone(), meant.metadata.clone()),
            meant.keys_age,
            guarded,
        ))
    };
    let providers: Result<_, _> = meant.iter().map(provider).collect();
    Ok(Providers::new(providers?))
}

/// The spellings under which the gateway may be called.
fn hosts(meant: &Meant, address: SocketAddr) -> BTreeSet<String> {
    let port = address.port();
    let mut hosts: BTreeSet<String> = ["127.0.0.1", "localhost", "[::1]"]
        .iter()
        .map(|host| format!("{host}:{port}"))
        .collect();
    hosts.insert(address.to_string());
    hosts.extend(meant.hosts.iter().cloned());
    let url = meant.door.url.as_deref().and_then(|url| url.split_once("://"));
    hosts.extend(url.map(|(_, authority)| authority.to_owned()));
    hosts
}
