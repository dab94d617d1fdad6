//! The same call put to Cedar's own authorizer, by a second conversion that shares no code with ours.

use std::collections::{BTreeSet, HashMap, HashSet};

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Policy,
    PolicyId, PolicySet, Request, RestrictedExpression as Cedar,
};

use super::scene::Scene;
use crate::{Party, PartyKind, Resource, ToolFacts, rules::Value};

/// JSON arguments, and how they should look to a rule.
#[derive(Clone, Debug)]
pub(super) enum Arg {
    Null,
    Bool(bool),
    /// A number as written, and what it is to Cedar: an integer, a decimal, or nothing.
    Number(&'static str, Number),
    Text(String),
    List(Vec<Arg>),
    Object(Vec<(String, Arg)>),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Long(i64),
    Decimal(&'static str),
    Nothing,
}

impl Arg {
    pub(super) fn json(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Bool(truth) => truth.to_string(),
            Self::Number(text, _) => (*text).into(),
            Self::Text(text) => serde_json::to_string(text).expect("a text"),
            Self::List(list) => {
                let list: Vec<_> = list.iter().map(Self::json).collect();
                format!("[{}]", list.join(","))
            }
            Self::Object(fields) => {
                let key = |name| serde_json::to_string(name).expect("a text");
                let fields: Vec<_> = fields
                    .iter()
                    .map(|(name, value)| format!("{}:{}", key(name), value.json()))
                    .collect();
                format!("{{{}}}", fields.join(","))
            }
        }
    }

    pub(super) fn cedar(&self) -> Option<Cedar> {
        match self {
            Self::Null | Self::Number(_, Number::Nothing) => None,
            Self::Bool(truth) => Some(Cedar::new_bool(*truth)),
            Self::Number(_, Number::Long(number)) => Some(Cedar::new_long(*number)),
            Self::Number(_, Number::Decimal(number)) => Some(Cedar::new_decimal(number)),
            Self::Text(text) => Some(Cedar::new_string(text.clone())),
            Self::List(list) => list
                .iter()
                .map(Self::cedar)
                .collect::<Option<Vec<_>>>()
                .map(Cedar::new_set),
            Self::Object(fields) => {
                let fields = fields
                    .iter()
                    .filter_map(|(name, value)| Some((name.clone(), value.cedar()?)));
                Some(record(fields.collect()))
            }
        }
    }
}

/// What Cedar says of each rule, for all parties together.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    pub(super) permits: BTreeSet<String>,
    pub(super) forbids: BTreeSet<String>,
    pub(super) errors: BTreeSet<String>,
}

impl Judgement {
    /// In the form of [`Scene::verdict`], with our treatment of errors.
    pub(super) fn verdict(&self) -> String {
        let list = |ids: &BTreeSet<String>| ids.iter().cloned().collect::<Vec<_>>().join(" ");
        if !self.errors.is_empty() {
            format!("error: {}", list(&self.errors))
        } else if !self.forbids.is_empty() {
            format!("forbid: {}", list(&self.forbids))
        } else if !self.permits.is_empty() {
            format!("permit: {}", list(&self.permits))
        } else {
            "no".into()
        }
    }
}

/// Rules under names that sort in their order.
pub(super) fn policies(rules: &[String]) -> PolicySet {
    let policies = rules.iter().enumerate().map(|(n, rule)| {
        let id = PolicyId::new(format!("r{n:03}"));
        Policy::parse(Some(id), rule).expect(rule)
    });
    PolicySet::from_policies(policies).expect("names differ")
}

pub(super) fn judge(policies: &PolicySet, scene: &Scene, args: Option<&Arg>) -> Judgement {
    let entities = entities(scene);
    let mut judgement = Judgement::default();
    for party in scene.subject.parties() {
        let request = Request::new(
            party_uid(party),
            uid("Action", scene.action.as_str()),
            resource_uid(&scene.resource),
            context(scene, args),
            None,
        );
        let response = Authorizer::new().is_authorized(&request.expect("a request"), policies, &entities);
        let reasons = response.diagnostics().reason().map(ToString::to_string);
        match response.decision() {
            cedar_policy::Decision::Allow => judgement.permits.extend(reasons),
            cedar_policy::Decision::Deny => judgement.forbids.extend(reasons),
        }
        for error in response.diagnostics().errors() {
            let AuthorizationError::PolicyEvaluationError(error) = error;
            judgement.errors.insert(error.policy_id().to_string());
        }
    }
    judgement
}

fn uid(kind: &str, id: &str) -> EntityUid {
    let kind: EntityTypeName = kind.parse().expect("a type");
    EntityUid::from_type_name_and_id(kind, EntityId::new(id))
}

fn party_uid(party: &Party) -> EntityUid {
    let kind = match party.kind {
        PartyKind::Agent => "Agent",
        PartyKind::Service => "Service",
        PartyKind::User => "User",
    };
    uid(kind, &party.name)
}

fn resource_uid(resource: &Resource) -> EntityUid {
    match resource {
        Resource::Gateway => uid("Gateway", "sallyport"),
        Resource::Model(facts) => uid("Model", &facts.name),
        Resource::Prompt(facts) => uid("Prompt", &format!("{}__{}", facts.server, facts.name)),
        Resource::Resource { uri, .. } => uid("Resource", uri),
        Resource::Server(facts) => uid("Server", &facts.server),
        Resource::Tool(facts) => uid("Tool", &format!("{}__{}", facts.server, facts.name)),
    }
}

fn entities(scene: &Scene) -> Entities {
    let parties = scene.subject.parties().map(party);
    Entities::from_entities(parties.chain([resource(&scene.resource)]), None).expect("entities")
}

fn party(party: &Party) -> Entity {
    let mut attributes: HashMap<String, Cedar> = party
        .attributes
        .iter()
        .map(|(name, held)| (name.clone(), value(held)))
        .collect();
    attributes.insert("name".into(), Cedar::new_string(party.name.clone()));
    attributes.extend(
        party
            .tenant
            .iter()
            .map(|tenant| ("tenant".into(), Cedar::new_string(tenant.clone()))),
    );
    let parents: HashSet<EntityUid> = party
        .roles
        .iter()
        .map(|role| uid("Role", role))
        .chain(party.groups.iter().map(|group| uid("Group", group)))
        .chain(party.tenant.iter().map(|tenant| uid("Tenant", tenant)))
        .collect();
    Entity::new(party_uid(party), attributes, parents).expect("a party")
}

fn resource(resource: &Resource) -> Entity {
    let nothing = ToolFacts {
        server: String::new(),
        name: "sallyport".into(),
        sink: crate::Sink::Read,
        trust: crate::Trust::Trusted,
        labels: crate::Labels::none(),
        tenant: None,
        cost: 1,
        arguments: None,
    };
    let facts = match resource {
        Resource::Gateway => &nothing,
        Resource::Model(facts)
        | Resource::Prompt(facts)
        | Resource::Server(facts)
        | Resource::Tool(facts) => facts,
        Resource::Resource { facts, .. } => facts,
    };
    // A model belongs to no server.
    let server = match resource {
        Resource::Model(_) => "",
        Resource::Gateway
        | Resource::Prompt(_)
        | Resource::Resource { .. }
        | Resource::Server(_)
        | Resource::Tool(_) => &facts.server,
    };
    let text = |text: &str| Cedar::new_string(text.into());
    let mut attributes = HashMap::from([
        ("server".to_owned(), text(server)),
        ("name".to_owned(), text(&facts.name)),
        ("sink".to_owned(), text(facts.sink.as_str())),
        ("trust".to_owned(), text(facts.trust.as_str())),
        (
            "confidentiality".to_owned(),
            text(facts.labels.confidentiality.as_str()),
        ),
        (
            "level".to_owned(),
            Cedar::new_long(facts.labels.confidentiality.level()),
        ),
        (
            "categories".to_owned(),
            Cedar::new_set(facts.labels.categories.iter().map(|c| text(c))),
        ),
    ]);
    if let Resource::Resource { uri, .. } = resource {
        let parts = crate::rules::uri::split(uri);
        let all = [
            ("uri", Some(uri.clone())),
            ("scheme", parts.scheme),
            ("host", parts.host),
            ("path", parts.path),
        ];
        for (name, part) in all {
            attributes.extend(part.map(|part| (name.to_owned(), Cedar::new_string(part))));
        }
    }
    attributes.extend(facts.tenant.iter().map(|tenant| ("tenant".into(), text(tenant))));
    let mut parents = match resource {
        Resource::Gateway | Resource::Model(_) | Resource::Server(_) => HashSet::new(),
        Resource::Prompt(_) | Resource::Resource { .. } | Resource::Tool(_) => {
            HashSet::from([uid("Server", &facts.server)])
        }
    };
    parents.extend(facts.tenant.iter().map(|tenant| uid("Tenant", tenant)));
    Entity::new(resource_uid(resource), attributes, parents).expect("a resource")
}

fn value(held: &Value) -> Cedar {
    match held {
        Value::Bool(truth) => Cedar::new_bool(*truth),
        Value::Decimal(number) => Cedar::new_decimal(number.to_string()),
        Value::Long(number) => Cedar::new_long(*number),
        Value::Record(fields) => record(
            fields
                .iter()
                .map(|(name, held)| (name.clone(), value(held)))
                .collect(),
        ),
        Value::Set(elements) => Cedar::new_set(elements.iter().map(value)),
        Value::String(text) => Cedar::new_string(text.clone()),
    }
}

fn record(fields: Vec<(String, Cedar)>) -> Cedar {
    Cedar::new_record(fields).expect("names differ")
}

fn context(scene: &Scene, args: Option<&Arg>) -> Context {
    let text = |text: &str| Cedar::new_string(text.into());
    let texts = |texts: Vec<&str>| Cedar::new_set(texts.into_iter().map(text));
    let labels = &scene.labels;
    let untrusted = || scene.sources.iter().filter(|source| !source.trusted);
    let tools: Vec<String> = scene
        .sources
        .iter()
        .map(|source| format!("{}__{}", source.server, source.tool))
        .collect();
    let group = scene.tls.as_ref().map_or("", |(_, group)| group.as_str());
    let version = scene.tls.as_ref().map_or("", |(version, _)| version.as_str());
    let args = args.and_then(Arg::cedar).unwrap_or_else(|| record(Vec::new()));
    let field = |name: &str, value| (name.to_owned(), value);
    let mut fields = vec![
        field("args", args),
        field("purpose", text(scene.purpose.as_deref().unwrap_or_default())),
        field("task", text(scene.task.as_deref().unwrap_or_default())),
        field("findings", texts(scene.findings.iter().copied().collect())),
        field("scopes", texts(scene.scopes.iter().map(String::as_str).collect())),
        field("time", Cedar::new_datetime("2026-11-21T08:00:00Z")),
        field(
            "tls",
            record(vec![
                field("version", text(version)),
                field("group", text(group)),
                field("pq", Cedar::new_bool(group == "X25519MLKEM768")),
            ]),
        ),
        field(
            "labels",
            record(vec![
                field("integrity", text(labels.integrity.as_str())),
                field("confidentiality", text(labels.confidentiality.as_str())),
                field("level", Cedar::new_long(labels.confidentiality.level())),
                field(
                    "categories",
                    texts(labels.categories.iter().map(String::as_str).collect()),
                ),
            ]),
        ),
        field(
            "sources",
            record(vec![
                field(
                    "arguments",
                    texts(
                        scene
                            .sources
                            .iter()
                            .filter_map(|s| s.argument.as_deref())
                            .collect(),
                    ),
                ),
                field(
                    "servers",
                    texts(scene.sources.iter().map(|s| s.server.as_str()).collect()),
                ),
                field(
                    "tainted",
                    texts(untrusted().filter_map(|s| s.argument.as_deref()).collect()),
                ),
                field("tools", texts(tools.iter().map(String::as_str).collect())),
                field(
                    "untrusted",
                    texts(untrusted().map(|s| s.server.as_str()).collect()),
                ),
            ]),
        ),
    ];
    for (name, kind) in [("agent", PartyKind::Agent), ("user", PartyKind::User)] {
        let party = scene.subject.parties().find(|party| party.kind == kind);
        fields.extend(party.map(|party| field(name, Cedar::new_entity_uid(party_uid(party)))));
    }
    Context::from_pairs(fields).expect("a context")
}
