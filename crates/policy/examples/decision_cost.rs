//! What a decision costs in CPU time, with 100 to 10,000 rules, next to plain Cedar in the same run.
//!
//! `cargo run --release -p policy --example decision_cost`. CPU time is read from `/proc/thread-self/schedstat`
//! around batches; the median batch is printed. The call: an agent for a user, with arguments, labels and
//! sources, on a tool that some of the rules name; the pack `baseline` is in force.

use std::{
    collections::{BTreeMap, BTreeSet},
    hint::black_box,
    io::{self, Write},
    sync::Arc,
};

use policy::{
    Action, Facts, Labels, Party, PartyKind, Resource, Sink, Source, Subject, TlsFacts, ToolFacts, Trust,
    packs,
    rules::{Lists, RuleSet, RuleSource, Value},
};
use wire::{
    bounds::REQUEST,
    json::{Document, Keys},
};

/// CPU time between two readings of the clock, which the kernel advances in steps of up to 4 ms.
const BATCH_US: f64 = 20_000.0;
/// Readings; their median is printed.
const BATCHES: usize = 41;
/// Roles, users and servers that rules speak of.
const ROLES: usize = 50;
const SERVERS: usize = 50;

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    let scene = Scene::new();
    for shape in [Shape::Scoped, Shape::Unscoped] {
        for count in [100, 1_000, 10_000] {
            let mut sources = packs::sources(["baseline"]).map_err(io::Error::other)?;
            sources.extend((0..count).map(|n| rule(n, shape)));
            let (loading, rules) = cpu_us(|| RuleSet::parse(&sources))?;
            let rules = rules.map_err(io::Error::other)?;
            let decide = median(|| drop(black_box(scene.decide(&rules))))?;
            let list = median(|| {
                black_box(scene.could_permit(&rules));
            })?;
            let tools = median(|| drop(black_box(scene.tools(&rules, "treatment"))))?;
            let lists = Lists::default();
            let again = median(|| drop(black_box(scene.tools_again(&lists, &rules))))?;
            let elsewhere = median(|| drop(black_box(scene.tools(&rules, "research"))))?;
            writeln!(
                out,
                "{shape:?} {count:>6} rules: decide {decide:>8.2} us, could_permit {list:>8.2} us, load {:.0} ms\n\
                 {:>31} list of 1,000 tools over 50 servers: {tools:>8.0} us, elsewhere {elsewhere:>8.0} us, \
                 once more {again:>6.1} us",
                loading / 1000.0,
                ""
            )?;
            if count <= 1_000 {
                let cedar = Cedar::new(&sources)?;
                let cost = median(|| drop(black_box(cedar.decide())))?;
                writeln!(
                    out,
                    "{:>31} {cost:>8.2} us, entities and context made beforehand",
                    "plain Cedar"
                )?;
            }
        }
    }
    Ok(())
}

/// What rules look like.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Each names a role and a tool, as rules mostly do.
    Scoped,
    /// All of them concern every call: the worst case.
    Unscoped,
}

fn rule(n: usize, shape: Shape) -> RuleSource {
    let (role, server, tool) = (n % ROLES, (n / ROLES) % SERVERS, n / (ROLES * SERVERS));
    let condition = "context.purpose == \"treatment\" && context.args has patient && \
                     context.args.patient == principal.name";
    let text = match shape {
        Shape::Scoped => format!(
            "permit(principal in Role::\"role{role}\", action == Action::\"invoke\", \
             resource == Tool::\"server{server}__tool{tool}\") when {{ {condition} }};"
        ),
        Shape::Unscoped => format!(
            "permit(principal, action, resource) when {{ context.args.patient == \"p{n}\" && {condition} }};"
        ),
    };
    RuleSource {
        name: format!("rule{n}"),
        text,
    }
}

struct Scene {
    subject: Subject,
    resource: Resource,
    args: Option<Document>,
    labels: Labels,
    sources: Vec<Source>,
    scopes: BTreeSet<String>,
    tools: Vec<Arc<Resource>>,
}

/// A tool of a server.
fn tool(server: usize, tool: usize) -> Resource {
    Resource::Tool(ToolFacts {
        server: format!("server{server}"),
        name: format!("tool{tool}"),
        sink: Sink::Read,
        trust: Trust::Trusted,
        labels: Labels::none(),
        tenant: None,
        cost: 1,
        arguments: None,
    })
}

impl Scene {
    fn new() -> Self {
        let party = |kind, name: &str, roles: &[&str]| Party {
            kind,
            name: name.to_owned(),
            roles: roles.iter().map(ToString::to_string).collect(),
            groups: vec!["staff".to_owned(), "ward-north".to_owned()],
            tenant: Some("clinic".to_owned()),
            attributes: BTreeMap::from([("level".to_owned(), Value::Long(2))]),
        };
        let args = br#"{"patient":"alice","from":"2026-01-01","fields":["name","birth","notes"],"limit":20}"#;
        Self {
            subject: Subject {
                actor: party(PartyKind::Agent, "scribe", &["assistant", "role3"]),
                for_user: Some(party(PartyKind::User, "alice", &["doctor", "role1", "role2"])),
            },
            resource: tool(0, 0),
            tools: (0..1_000)
                .map(|n| Arc::new(tool(n % SERVERS, n / SERVERS)))
                .collect(),
            args: Document::parse(args.to_vec(), Keys::Folded, &REQUEST).ok(),
            labels: Labels::none(),
            sources: vec![Source {
                argument: Some("/patient".to_owned()),
                server: "server1".to_owned(),
                tool: "search".to_owned(),
                trusted: true,
            }],
            scopes: BTreeSet::from(["charts:read".to_owned()]),
        }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            args: self.args.as_ref().map(Document::root),
            purpose: Some("treatment"),
            task: None,
            labels: &self.labels,
            findings: BTreeSet::new(),
            sources: &self.sources,
            scopes: &self.scopes,
            tls: Some(TlsFacts {
                version: "TLSv1.3",
                group: "X25519MLKEM768",
            }),
            now_ms: 1_795_248_000_000,
        }
    }

    fn decide(&self, rules: &RuleSet) -> policy::Decision {
        rules.decide(&self.subject, Action::Invoke, &self.resource, &self.facts())
    }

    fn tools(&self, rules: &RuleSet, purpose: &str) -> Vec<policy::rules::Discovery> {
        let facts = Facts {
            args: None,
            purpose: Some(purpose),
            sources: &[],
            ..self.facts()
        };
        let tools = self.tools.iter().map(AsRef::as_ref);
        rules.could_permit_each(&self.subject, Action::Discover, tools, &facts)
    }

    /// A list that was worked out before.
    fn tools_again(&self, lists: &Lists, rules: &RuleSet) -> Arc<[policy::rules::Discovery]> {
        let facts = Facts {
            args: None,
            sources: &[],
            ..self.facts()
        };
        lists.could_permit_each(rules, &self.subject, Action::Discover, &self.tools, &facts)
    }

    fn could_permit(&self, rules: &RuleSet) -> policy::rules::Discovery {
        rules.could_permit(&self.subject, Action::Invoke, &self.resource, &self.facts())
    }
}

/// The same call for one of the two parties, put to Cedar.
struct Cedar {
    policies: cedar_policy::PolicySet,
    entities: cedar_policy::Entities,
    request: cedar_policy::Request,
}

impl Cedar {
    fn new(sources: &[RuleSource]) -> io::Result<Self> {
        let texts: Vec<_> = sources.iter().map(|source| source.text.as_str()).collect();
        let policies = texts.join("\n").parse().map_err(io::Error::other)?;
        let entities = r#"[
            {"uid": {"type": "User", "id": "alice"}, "attrs": {"name": "alice", "level": 2},
             "parents": [{"type": "Role", "id": "doctor"}, {"type": "Role", "id": "role1"}]},
            {"uid": {"type": "Tool", "id": "server0__tool0"},
             "attrs": {"sink": "read", "trust": "trusted", "server": "server0", "level": 0},
             "parents": [{"type": "Server", "id": "server0"}]}]"#;
        let context = r#"{"purpose": "treatment", "args": {"patient": "alice", "limit": 20},
            "findings": [], "labels": {"integrity": "trusted", "level": 0},
            "sources": {"untrusted": [], "servers": ["server1"]}}"#;
        let uid = |text: &str| text.parse().map_err(io::Error::other);
        Ok(Self {
            policies,
            entities: cedar_policy::Entities::from_json_str(entities, None).map_err(io::Error::other)?,
            request: cedar_policy::Request::new(
                uid("User::\"alice\"")?,
                uid("Action::\"invoke\"")?,
                uid("Tool::\"server0__tool0\"")?,
                cedar_policy::Context::from_json_str(context, None).map_err(io::Error::other)?,
                None,
            )
            .map_err(io::Error::other)?,
        })
    }

    fn decide(&self) -> cedar_policy::Response {
        cedar_policy::Authorizer::new().is_authorized(&self.request, &self.policies, &self.entities)
    }
}

/// The median CPU time of one run, in microseconds.
fn median(mut run: impl FnMut()) -> io::Result<f64> {
    let mut batch = 1_u32;
    let mut costs = Vec::new();
    while costs.len() < BATCHES {
        let (cost, ()) = cpu_us(|| {
            for _ in 0..batch {
                run();
            }
        })?;
        if cost < BATCH_US && costs.is_empty() {
            batch = batch.saturating_mul(2);
            continue;
        }
        costs.push(cost / f64::from(batch));
    }
    costs.sort_by(f64::total_cmp);
    Ok(costs.get(BATCHES / 2).copied().unwrap_or_default())
}

/// What something costs, in microseconds of CPU time of this thread.
fn cpu_us<T>(run: impl FnOnce() -> T) -> io::Result<(f64, T)> {
    let before = on_cpu_ns()?;
    let outcome = run();
    Ok(((on_cpu_ns()? - before) / 1000.0, outcome))
}

fn on_cpu_ns() -> io::Result<f64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = stat.split(' ').next().unwrap_or_default();
    first.parse().map_err(io::Error::other)
}
