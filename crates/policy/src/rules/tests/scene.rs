//! A call to judge: a doctor or her agent, a chart, and what is known.

use std::collections::{BTreeMap, BTreeSet};

use wire::{
    bounds::REQUEST,
    json::{Document, Keys},
};

use crate::{
    Action, Categories, Confidentiality, Decision, Facts, Integrity, Labels, Party, PartyKind, Resource,
    Sink, Source, Subject, TlsFacts, ToolFacts, Trust,
    rules::{
        Discovery, RuleSet, RuleSource, Value,
        decide::{Verdict, verdict},
        entity::Target,
        slices::Shelf,
        world::Known,
    },
};

#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) subject: Subject,
    pub(crate) action: Action,
    pub(crate) resource: Resource,
    pub(crate) args: Option<Document>,
    pub(crate) purpose: Option<String>,
    pub(crate) task: Option<String>,
    pub(crate) labels: Labels,
    pub(crate) findings: BTreeSet<&'static str>,
    pub(crate) sources: Vec<Source>,
    pub(crate) scopes: BTreeSet<String>,
    pub(crate) tls: Option<(String, String)>,
    pub(crate) now_ms: i64,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            subject: Subject {
                actor: party(PartyKind::User, "alice", &["doctor"]),
                for_user: None,
            },
            action: Action::Invoke,
            resource: Resource::Tool(tool("charts", "read")),
            args: None,
            purpose: None,
            task: None,
            labels: Labels::none(),
            findings: BTreeSet::new(),
            sources: Vec::new(),
            scopes: BTreeSet::new(),
            tls: None,
            now_ms: 1_795_248_000_000,
        }
    }
}

impl Scene {
    pub(crate) fn with_args(mut self, json: &str) -> Self {
        self.args = Some(Document::parse(json.into(), Keys::Folded, &REQUEST).expect(json));
        self
    }

    pub(crate) fn on(mut self, resource: Resource) -> Self {
        self.resource = resource;
        self
    }

    pub(crate) fn by_agent(mut self) -> Self {
        let user = self.subject.actor;
        self.subject = Subject {
            actor: party(PartyKind::Agent, "scribe", &["assistant"]),
            for_user: Some(user),
        };
        self
    }

    pub(crate) fn facts(&self) -> Facts<'_> {
        Facts {
            args: self.args.as_ref().map(Document::root),
            purpose: self.purpose.as_deref(),
            task: self.task.as_deref(),
            labels: &self.labels,
            findings: self.findings.clone(),
            sources: &self.sources,
            scopes: &self.scopes,
            tls: self
                .tls
                .as_ref()
                .map(|(version, group)| TlsFacts { version, group }),
            now_ms: self.now_ms,
        }
    }

    pub(crate) fn decide(&self, rules: &RuleSet) -> Decision {
        rules.decide(&self.subject, self.action, &self.resource, &self.facts())
    }

    /// The verdict in short, with the rules' names sorted: `permit: a b`, `forbid: a`, `error: a` or `no`.
    pub(crate) fn verdict(&self, rules: &RuleSet) -> String {
        let (word, ids): (_, Vec<String>) = match self.decide(rules) {
            Decision::Permit(permit) => ("permit", permit.rules().iter().map(ToString::to_string).collect()),
            Decision::Refuse(denial) if !denial.errors.is_empty() => (
                "error",
                denial.errors.iter().map(|(id, _)| id.to_string()).collect(),
            ),
            Decision::Refuse(denial) if !denial.rules.is_empty() => {
                ("forbid", denial.rules.iter().map(ToString::to_string).collect())
            }
            Decision::Refuse(_) => return "no".into(),
        };
        let ids: Vec<String> = BTreeSet::from_iter(ids).into_iter().collect();
        format!("{word}: {}", ids.join(" "))
    }

    /// What the rules that a decision leaves out would have come to.
    pub(in crate::rules) fn not_asked(&self, rules: &RuleSet) -> Vec<Verdict> {
        let target = Target::of(&self.resource);
        let facts = self.facts();
        let call = rules.call(&self.subject, self.action, &target, &facts);
        let known = Known::nothing(rules.numbered);
        let callers = rules.callers(&self.subject);
        let mut verdicts = Vec::new();
        for caller in &callers {
            let world = caller.world(call, &known);
            let found = rules
                .slices
                .concerning(Shelf::Calls, caller.names(), self.action, &target, |path| {
                    world.plain(path)
                });
            let left_out = (0..).zip(&rules.rules).filter(|(at, _)| !found.contains(at));
            verdicts.extend(left_out.map(|(_, rule)| verdict(rule, &world)));
        }
        verdicts
    }

    pub(crate) fn discovery(&self, rules: &RuleSet) -> Discovery {
        rules.could_permit(&self.subject, self.action, &self.resource, &self.facts())
    }
}

pub(crate) fn party(kind: PartyKind, name: &str, roles: &[&str]) -> Party {
    let attributes = BTreeMap::from([
        ("patients".to_owned(), words(&["p1", "p2"])),
        ("level".to_owned(), Value::Long(2)),
        (
            "ward".to_owned(),
            Value::Record(BTreeMap::from([(
                "name".to_owned(),
                Value::String("north".into()),
            )])),
        ),
    ]);
    Party {
        kind,
        name: name.into(),
        roles: roles.iter().map(ToString::to_string).collect(),
        groups: vec!["staff".into()],
        tenant: Some("clinic".into()),
        attributes,
    }
}

pub(crate) fn words(words: &[&str]) -> Value {
    Value::Set(words.iter().map(|word| Value::String((*word).into())).collect())
}

pub(crate) fn tool(server: &str, name: &str) -> ToolFacts {
    ToolFacts {
        server: server.into(),
        name: name.into(),
        sink: Sink::Read,
        trust: Trust::Trusted,
        labels: Labels {
            integrity: Integrity::Trusted,
            confidentiality: Confidentiality::Restricted,
            categories: Categories::from(["phi".into()]),
        },
        tenant: None,
        cost: 1,
        arguments: None,
    }
}

pub(crate) fn sink(server: &str, name: &str, sink: Sink) -> Resource {
    Resource::Tool(ToolFacts {
        sink,
        ..tool(server, name)
    })
}

pub(crate) fn rules(text: &str) -> RuleSet {
    let source = RuleSource {
        name: "test".into(),
        text: text.into(),
    };
    RuleSet::parse(&[source]).unwrap_or_else(|errors| panic!("{errors}"))
}
