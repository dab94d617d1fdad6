//! What a configuration means: checked, resolved, ready to build from.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use identity::{Model, Secret, jose::KeySet};
use pipeline::Group;
use policy::{PartyKind, rules::Value};

use super::{
    Problem, Proof, agents,
    archive::{self, MeantArchive},
    authorization::{self, MeantAuthorization, Nonce, Switch},
    door::{FrontDoor, front_door},
    events::{self, MeantEvents, SaidMetrics},
    incidents, inspection,
    interceptors::{self, MeantInterceptors},
    issuers::{self, MeantIssuer},
    judge::{self, MeantJudge},
    models::{self, MeantModel},
    operators::{self, MeantOperators},
    records::{self, MeantPayloads, SaidOutcome},
    reference::Lookup,
    root::{self, MeantRoot},
    rules,
    said::{Approve, Mode, Said, SaidApprovals, SaidRegistry},
    servers::{self, MeantServer},
    standing::Standing,
    state::MeantState,
    trust_domains,
    witness::{self, MeantWitness},
};
use crate::{
    evidence::incidents::MeantIncidents,
    operate::console::MeantConsole,
    registry::supply::provenance::{Provenance, Publisher},
    tls,
};

/// A configuration that makes sense.
#[derive(Clone, Debug)]
pub(crate) struct Meant {
    pub(crate) door: FrontDoor,
    pub(crate) socket: Option<PathBuf>,
    pub(crate) mode: Mode,
    pub(crate) data: PathBuf,
    /// The database that replicas share, if there is one.
    pub(crate) state: Option<MeantState>,
    /// Where the root key is.
    pub(crate) root: MeantRoot,
    /// The configuration file, once it is known.
    pub(crate) file: Option<PathBuf>,
    /// Files no server may see: the configuration and the secrets it names.
    pub(crate) hidden: Vec<PathBuf>,
    pub(crate) servers: Vec<MeantServer>,
    /// Endpoints that show several servers.
    pub(crate) groups: Vec<Arc<Group>>,
    pub(crate) approve: Approve,
    pub(crate) anonymous: Option<String>,
    pub(crate) hosts: BTreeSet<String>,
    pub(crate) origins: BTreeSet<String>,
    pub(crate) parties: Vec<MeantParty>,
    /// What may be declared.
    pub(crate) purposes: BTreeSet<String>,
    pub(crate) issuers: Vec<MeantIssuer>,
    pub(crate) authorization: MeantAuthorization,
    pub(crate) nonce: Nonce,
    /// Whether programs may ask to become agents.
    pub(crate) enrolment: Switch,
    pub(crate) packs: Vec<String>,
    /// The version of the rules, if the operator gives them one.
    pub(crate) version: Option<u64>,
    pub(crate) rules: Vec<(String, String)>,
    /// The files rules and descriptions were read from.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) limits: Vec<MeantLimit>,
    pub(crate) approvals: MeantApprovals,
    /// A mirrored file of known vulnerabilities.
    pub(crate) osv: Option<PathBuf>,
    /// Who has to have made which packages.
    pub(crate) provenance: Provenance,
    /// Who decides about servers.
    pub(crate) operators: MeantOperators,
    pub(crate) payloads: MeantPayloads,
    /// What an outcome has to survive before the answer goes out.
    pub(crate) outcome: SaidOutcome,
    /// Where the ledger is copied to.
    pub(crate) archive: Option<MeantArchive>,
    pub(crate) events: Vec<MeantEvents>,
    pub(crate) metrics: SaidMetrics,
    pub(crate) witness: MeantWitness,
    pub(crate) console: MeantConsole,
    pub(crate) incidents: MeantIncidents,
    /// What detectors know besides.
    pub(crate) inspection: inspect::Settings,
    pub(crate) interceptors: Vec<MeantInterceptors>,
    pub(crate) judge: Option<MeantJudge>,
    pub(crate) models: Vec<MeantModel>,
    /// What of this stands until a restart.
    pub(crate) standing: Standing,
    /// The files in which nothing stands: the configuration, or some of rules.
    pub(crate) blank: BTreeSet<PathBuf>,
    /// Why the bundle of rules cannot be used. Commands that need no rules work all the same, the kill switch above all.
    pub(crate) unusable: Option<String>,
    /// What is well, and yet worth a word to whoever starts the gateway.
    pub(crate) notes: Vec<String>,
    /// After how many days what agents may do is looked at again.
    pub(crate) review_days: Option<u32>,
}

/// How people are asked.
#[derive(Clone, Debug)]
pub(crate) struct MeantApprovals {
    pub(crate) expires: Duration,
    pub(crate) webhook: Option<MeantWebhook>,
}

/// Where new questions are told.
#[derive(Clone, Debug)]
pub(crate) struct MeantWebhook {
    pub(crate) url: hyper::Uri,
    pub(crate) secret: Secret,
}

/// A user, an agent or a service.
#[derive(Clone, Debug)]
pub(crate) struct MeantParty {
    pub(crate) kind: PartyKind,
    pub(crate) name: String,
    pub(crate) secret: Option<Secret>,
    pub(crate) roles: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) tenant: Option<String>,
    pub(crate) attributes: BTreeMap<String, Value>,
    pub(crate) purposes: BTreeSet<String>,
    /// Its public keys, of agents and services.
    pub(crate) keys: Option<Arc<KeySet>>,
    pub(crate) acts_for: Vec<String>,
    /// How the names begin of others it may act for, once it brings their token.
    pub(crate) acts_for_those: Vec<String>,
    pub(crate) model: Option<Model>,
    pub(crate) scopes: Vec<String>,
    /// What it has to prove with each request, of agents and services.
    pub(crate) proof: Option<Proof>,
}

/// A limit.
#[derive(Clone, Debug)]
pub(crate) struct MeantLimit {
    pub(crate) name: String,
    pub(crate) rate: Option<String>,
    pub(crate) burst: Option<u32>,
    pub(crate) concurrency: Option<u32>,
    pub(crate) queue: Option<u32>,
    pub(crate) wait: Option<u64>,
    pub(crate) bytes: Option<String>,
    pub(crate) cost: Option<String>,
    pub(crate) total: Option<u64>,
    pub(crate) per: Vec<String>,
    pub(crate) named: bool,
}

/// Finds out what was meant. All problems are collected, so that one look mends them all.
pub(crate) fn mean(said: Said, lookup: &Lookup<'_>, default_data: &Path) -> Result<Meant, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut note = |result: Result<(), Problem>| problems.extend(result.err());
    let mut door = front_door(
        said.listen.as_deref(),
        said.url.as_deref(),
        said.tls.as_ref(),
        lookup,
    );
    let hidden = secrets(&said, lookup);
    let mut standing = Standing::of(&said);
    let provenance = provenance(&said.registry, lookup, &mut note);
    let (servers, groups) = servers::mean(&said.servers, &said.groups, lookup, &mut note);
    standing.descriptions(&servers);
    let mut notes = said.notes.clone();
    notes.extend(servers::notes(&said.servers, &servers));
    let purposes: BTreeSet<_> = said.purposes.iter().map(|purpose| purpose.name.clone()).collect();
    let mut parties: Vec<MeantParty> = Vec::new();
    for (n, user) in said.users.iter().enumerate() {
        note(name_is_fit(&format!("users[{n}].name"), &user.name));
        let secret = match strong(&format!("users[{n}].secret"), user.secret.as_deref(), lookup) {
            Ok(secret) => secret,
            Err(problem) => {
                note(Err(problem));
                None
            }
        };
        parties.push(MeantParty {
            kind: PartyKind::User,
            name: user.name.clone(),
            secret,
            roles: user.roles.clone(),
            groups: user.groups.clone(),
            tenant: user.tenant.clone(),
            attributes: attributes(&user.attributes),
            purposes: purposes.clone(),
            keys: None,
            acts_for: Vec::new(),
            acts_for_those: Vec::new(),
            model: None,
            scopes: Vec::new(),
            proof: None,
        });
    }
    let users: BTreeSet<_> = said.users.iter().map(|user| user.name.as_str()).collect();
    let at_console: Vec<String> = said
        .console
        .operators
        .union(&said.console.auditors)
        .cloned()
        .collect();
    note(known("console", "user", &at_console, |name| {
        users.contains(name) || name.starts_with("role:")
    }));
    for (n, agent) in said.agents.iter().enumerate() {
        let at = format!("agents[{n}]");
        note(name_is_fit(&format!("{at}.name"), &agent.name));
        let foreign = |name: &str| {
            let start = name.strip_suffix('*').unwrap_or(name);
            let prefixes = said.issuers.iter().map(issuers::prefix);
            prefixes
                .into_iter()
                .any(|prefix| !prefix.is_empty() && start.starts_with(&prefix))
        };
        note(known(&format!("{at}.for"), "user", &agent.acts_for, |name| {
            users.contains(name) || foreign(name)
        }));
        note(known(
            &format!("{at}.purposes"),
            "purpose",
            &agent.purposes,
            |name| purposes.contains(name),
        ));
        match agents::mean(&at, agent, lookup) {
            Ok(agent) => parties.push(agent),
            Err(problem) => note(Err(problem)),
        }
    }
    note(distinct(&parties));
    if let Some(anonymous) = &said.anonymous
        && !users.contains(anonymous.as_str())
    {
        let what = format!("there is no user `{anonymous}`");
        note(Err(Problem::new(
            "anonymous",
            what,
            "add it under `users`, with its roles",
        )));
    }
    if said.anonymous.is_some()
        && let Ok(door) = &door
    {
        note(nobody_forwards(door, &said.hosts));
    }
    let hosts = super::door::hosts(&said.hosts).unwrap_or_else(|problem| {
        note(Err(problem));
        BTreeSet::new()
    });
    let origins = super::door::origins(&said.origins).unwrap_or_else(|problem| {
        note(Err(problem));
        BTreeSet::new()
    });
    let issuers = issuers::mean(&said.issuers, &parties, lookup, &mut note);
    let protection = door.as_mut().ok().and_then(|door| door.tls.as_mut());
    note(trust_domains::mean(
        said.tls.as_ref(),
        protection,
        &parties,
        lookup,
    ));
    let authorization = authorization::mean(&said, &parties, lookup, &mut note);
    let nonce = authorization::nonce(&said).unwrap_or_else(|problem| {
        note(Err(problem));
        Nonce::Required
    });
    let policy = said.policy.unwrap_or_default();
    let mut rules: Vec<_> = policy
        .rules
        .iter()
        .enumerate()
        .map(|(n, rule)| (format!("policy.rules[{n}]"), rule.clone()))
        .collect();
    let mut files: Vec<PathBuf> = Vec::new();
    let descriptions = said.servers.values().filter_map(|server| server.openapi.as_ref());
    files.extend(descriptions.map(|file| lookup.path(&file.display().to_string())));
    let mut unusable = None;
    let (mut version, mut packs) = (policy.version, policy.packs.clone());
    if policy.bundle.is_some() || !policy.keys.is_empty() {
        let bundle = rules::bundle(&policy, lookup, &mut files);
        match bundle {
            Ok(Ok(bundle)) => {
                (version, packs) = (Some(bundle.version), Some(bundle.packs));
                rules.extend(bundle.rules);
            }
            Ok(Err(problem)) => unusable = Some(problem.to_string()),
            Err(problem) => note(Err(problem)),
        }
    }
    for short in rules::short_rules(&policy)
        .into_iter()
        .chain(rules::purpose_rules(&said.purposes))
    {
        match short {
            Ok(rule) => rules.push(rule),
            Err(problem) => note(Err(problem)),
        }
    }
    let mut blank = BTreeSet::new();
    for (n, file) in policy.files.iter().enumerate() {
        let path = lookup.path(&file.display().to_string());
        files.push(path.clone());
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                blank.extend(text.trim().is_empty().then(|| path.clone()));
                rules.push((path.display().to_string(), text));
            }
            Err(error) => note(Err(Problem::new(
                format!("policy.files[{n}]"),
                format!("{}: {error}", path.display()),
                "create the file, or correct the path",
            ))),
        }
    }
    let door = match door {
        Ok(door) => Some(door),
        Err(problem) => {
            note(Err(problem));
            None
        }
    };
    let approvals = match approvals(&said.approvals, lookup) {
        Ok(approvals) => Some(approvals),
        Err(problem) => {
            note(Err(problem));
            None
        }
    };
    let payloads = match records::payloads(&said.records) {
        Ok(payloads) => Some(payloads),
        Err(problem) => {
            note(Err(problem));
            None
        }
    };
    // Where the tables are is no secret that could be done without.
    let state = super::state::mean(said.state.as_deref(), &lookup.revealing()).unwrap_or_else(|problem| {
        note(Err(problem));
        None
    });
    let root = root::mean(&said.root_key, lookup).unwrap_or_else(|problem| {
        note(Err(problem));
        MeantRoot::Usual
    });
    let archive = said.archive.as_ref().map(|said| archive::mean(said, lookup));
    let archive = archive.transpose().unwrap_or_else(|problem| {
        note(Err(problem));
        None
    });
    let mut events = Vec::new();
    for (n, receiver) in said.events.iter().enumerate() {
        match events::mean(n, receiver, &events, lookup) {
            Ok(receiver) => events.push(receiver),
            Err(problem) => note(Err(problem)),
        }
    }
    let witness = witness::mean(&said.witness).unwrap_or_else(|problem| {
        note(Err(problem));
        MeantWitness::default()
    });
    let incidents = incidents::mean(&said.incidents, &mut note);
    let operators = operators::mean(&said.registry, said.approve.as_ref(), &mut note);
    let inspection = inspection::mean(&said.inspection, &mut note);
    let interceptors = interceptors::mean(&said.interceptors, &servers, &mut note);
    let judge = said
        .judge
        .as_ref()
        .map(|judge| judge::mean(judge, lookup))
        .transpose();
    let judge = judge.unwrap_or_else(|problem| {
        note(Err(problem));
        None
    });
    let models = models::mean(&said.models, lookup, &mut note);
    let review_days = said.review.every.as_deref().and_then(|text| {
        let days = text
            .strip_suffix('d')
            .and_then(|days| days.parse().ok())
            .filter(|days| *days > 0);
        if days.is_none() {
            let what = format!("`{text}` is no number of days");
            note(Err(Problem::new("review.every", what, "write it as `90d`")));
        }
        days
    });
    match door.zip(approvals).zip(payloads) {
        Some(((door, approvals), payloads)) if problems.is_empty() => Ok(Meant {
            approvals,
            provenance,
            operators,
            osv: said
                .registry
                .osv
                .map(|path| lookup.path(&path.display().to_string())),
            payloads,
            outcome: said.records.outcome,
            state,
            root,
            archive,
            events,
            metrics: said.metrics,
            witness,
            console: MeantConsole {
                operators: said.console.operators,
                auditors: said.console.auditors,
            },
            incidents,
            inspection,
            interceptors,
            judge,
            models,
            notes,
            file: None,
            review_days,
            standing,
            blank,
            unusable,
            door,
            socket: said.socket.map(|path| lookup.path(&path.display().to_string())),
            mode: said.mode.unwrap_or_default(),
            data: said.data.map_or_else(
                || default_data.to_path_buf(),
                |d| lookup.path(&d.display().to_string()),
            ),
            hidden,
            servers,
            groups,
            approve: said.approve.unwrap_or_default(),
            anonymous: said.anonymous,
            hosts,
            origins,
            parties,
            purposes,
            issuers,
            authorization,
            nonce,
            enrolment: said.enrolment,
            version,
            packs: packs.unwrap_or_else(|| vec!["baseline".to_owned()]),
            rules,
            files,
            limits: said
                .limits
                .into_iter()
                .map(|(name, said)| MeantLimit {
                    name,
                    rate: said.rate,
                    burst: said.burst,
                    concurrency: said.concurrency,
                    queue: said.queue,
                    wait: said.wait,
                    bytes: said.bytes,
                    cost: said.cost,
                    total: said.total,
                    per: said.per,
                    named: said.named,
                })
                .collect(),
        }),
        Some(_) | None => Err(problems),
    }
}

/// The files of secrets that the configuration names. No server may read another's.
pub(super) fn secrets(said: &Said, lookup: &Lookup<'_>) -> Vec<PathBuf> {
    let people = said
        .users
        .iter()
        .flat_map(|user| [&user.secret, &user.password, &user.totp]);
    let agents = said.agents.iter().map(|agent| &agent.secret);
    let clients = said.clients.iter().map(|client| &client.secret);
    let tls = said.tls.iter().map(|tls| &tls.key);
    let servers = said.servers.values().flat_map(|server| {
        let tls = server.tls.iter().map(|tls| &tls.key);
        let auth = server
            .auth
            .iter()
            .flat_map(|auth| [&auth.token, &auth.assertion, &auth.client_secret, &auth.key]);
        tls.chain(auth)
    });
    let single = people.chain(agents).chain(clients).chain(tls).chain(servers);
    let hooks = said.approvals.webhook.iter();
    let hooks = hooks.flat_map(|hook| [&hook.url, &hook.secret]);
    let values = said
        .servers
        .values()
        .flat_map(|server| server.env.values().chain(server.headers.values()));
    let root = root::references(&said.root_key);
    let archive = said.archive.iter().map(|archive| &archive.secret);
    let models = said.models.values().map(|model| &model.key);
    let models = models.chain(said.judge.iter().map(|judge| &judge.key)).flatten();
    let all = single
        .flatten()
        .chain(hooks)
        .chain(values)
        .chain(root)
        .chain(archive)
        .chain(models);
    all.filter_map(|reference| reference.strip_prefix("file:"))
        .map(|path| lookup.path(path))
        .collect()
}

/// Who has to have made which packages.
fn provenance(
    said: &SaidRegistry,
    lookup: &Lookup<'_>,
    note: &mut impl FnMut(Result<(), Problem>),
) -> Provenance {
    let mut publishers = Vec::new();
    for (n, publisher) in said.publishers.iter().enumerate() {
        let at = format!("registry.publishers[{n}]");
        match tls::authorities(&lookup.path(&publisher.ca)) {
            Ok(authorities) => publishers.push(Publisher::new(
                &publisher.packages,
                authorities,
                &publisher.identity,
                publisher.issuer.clone(),
            )),
            Err(what) => note(Err(Problem::new(
                format!("{at}.ca"),
                what,
                "correct the path, or the file",
            ))),
        }
    }
    let attestations = said.attestations.as_ref();
    Provenance {
        publishers,
        attestations: attestations.map(|path| lookup.path(&path.display().to_string())),
    }
}

/// Whoever comes from this machine may be anonymous. Where the gateway is called by another name than this machine's,
/// something on this machine may forward, and everybody it forwards would come from here.
fn nobody_forwards(door: &FrontDoor, hosts: &[String]) -> Result<(), Problem> {
    let url = door.url.as_deref().and_then(|url| url.split_once("://"));
    let called = url.map(|(_, authority)| authority).into_iter();
    let mut called = called.chain(hosts.iter().map(String::as_str));
    let Some(name) = called.find(|name| !is_here(name)) else {
        return Ok(());
    };
    let what = format!("the gateway is called `{name}`, too, and whoever is forwarded to it comes from here");
    let remedy = "leave `anonymous` out and give callers secrets, or take that name out of `url` and `hosts`";
    Err(Problem::new("anonymous", what, remedy))
}

/// Whether `host` or `host:port` names this machine.
pub(super) fn is_here(authority: &str) -> bool {
    let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    let address = host.parse::<std::net::IpAddr>();
    address.is_ok_and(|address| address.is_loopback()) || host.eq_ignore_ascii_case("localhost")
}

/// A secret by reference that is fit to be relied on.
pub(super) fn strong(
    at: &str,
    reference: Option<&str>,
    lookup: &Lookup<'_>,
) -> Result<Option<Secret>, Problem> {
    let Some(reference) = reference else {
        return Ok(None);
    };
    let strong = Secret::strong(lookup.secret(at, reference)?);
    strong
        .map(Some)
        .map_err(|error| Problem::new(at, error.to_string(), "then start again"))
}

fn approvals(said: &SaidApprovals, lookup: &Lookup<'_>) -> Result<MeantApprovals, Problem> {
    let webhook = match &said.webhook {
        None => None,
        Some(webhook) => {
            let at = "approvals.webhook.url";
            let url = lookup.value(at, &webhook.url)?;
            let uri = url.parse::<hyper::Uri>().ok().filter(|uri| uri.host().is_some());
            let uri =
                uri.ok_or_else(|| Problem::new(at, "it is not a URL", "write it as `https://host/path`"))?;
            let host = uri.host().unwrap_or_default();
            let is_here = ["127.0.0.1", "localhost", "[::1]"].contains(&host);
            if uri.scheme_str() != Some("https") && !(is_here && uri.scheme_str() == Some("http")) {
                let what = "what people are asked would travel unprotected";
                return Err(Problem::new(at, what, "use https; http only to this machine"));
            }
            let secret = strong("approvals.webhook.secret", Some(&webhook.secret), lookup)?;
            secret.map(|secret| MeantWebhook { url: uri, secret })
        }
    };
    Ok(MeantApprovals {
        expires: Duration::from_secs(said.expires.unwrap_or(3600).clamp(1, 7 * 24 * 3600)),
        webhook,
    })
}

pub(crate) fn name_is_fit(at: &str, name: &str) -> Result<(), Problem> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.@:/+".contains(c);
    if (1..=128).contains(&name.len()) && name.chars().all(good) {
        return Ok(());
    }
    let what = format!("`{}` is not a name", name.escape_debug());
    Err(Problem::new(
        at,
        what,
        "use 1 to 128 letters, digits and - _ . @ : / +",
    ))
}

fn known(at: &str, kind: &str, names: &[String], exists: impl Fn(&str) -> bool) -> Result<(), Problem> {
    match names.iter().find(|name| !exists(name)) {
        None => Ok(()),
        Some(name) => Err(Problem::new(
            at,
            format!("there is no {kind} `{name}`"),
            format!("add it under `{kind}s`, or correct the name"),
        )),
    }
}

/// Names of agents and services are client ids, so no two may share one.
fn distinct(parties: &[MeantParty]) -> Result<(), Problem> {
    let mut seen = BTreeSet::new();
    for party in parties {
        if !seen.insert((party.kind == PartyKind::User, party.name.as_str())) {
            let what = format!("two entries are called `{}`", party.name);
            return Err(Problem::new("users, agents", what, "rename one of them"));
        }
    }
    Ok(())
}

pub(super) fn attributes(said: &BTreeMap<String, serde_json::Value>) -> BTreeMap<String, Value> {
    said.iter()
        .filter_map(|(name, value)| Some((name.clone(), attribute(value)?)))
        .collect()
}

/// An attribute as rules see it. A number that is no 64-bit integer has no counterpart and is left out, so
/// that a rule that reads it fails and refuses.
fn attribute(said: &serde_json::Value) -> Option<Value> {
    Some(match said {
        serde_json::Value::Null => return None,
        serde_json::Value::Bool(b) => Value::Bool(*b),
        serde_json::Value::Number(n) => Value::Long(n.as_i64()?),
        serde_json::Value::String(text) => Value::String(text.clone()),
        serde_json::Value::Array(list) => Value::Set(list.iter().filter_map(attribute).collect()),
        serde_json::Value::Object(members) => Value::Record(
            members
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), attribute(value)?)))
                .collect(),
        ),
    })
}
