//! Rules in view of the people there are: a name nobody has, a purpose nobody declares, an attribute nobody has.
//!
//! Such a rule is silently false, or fails. It is told and not refused: who is not there today may be let in tomorrow, and
//! a gateway must start though somebody was revoked whom a rule names. What packs say of people is for whoever has them.

use std::collections::BTreeSet;

use super::{
    Diagnostic, RuleSet,
    datum::Datum,
    entity::{Entity, Uid},
    expr::{Binary, Expr, Variable},
    known::{Fault, meant, path, placed},
    rule::Rule,
    vocabulary::word,
};
use crate::{
    packs,
    permit::{Obligation, Reviewers},
    subject::Party,
};

/// What is always there to be asked for: of everybody, and of whoever logged in or has a model.
const ATTRIBUTES: [&str; 6] = ["mfa", "model", "model_source", "model_version", "name", "tenant"];

/// Users, agents and services, with what rules may name of them.
#[derive(Clone, Debug, Default)]
pub struct People {
    /// By the type of the entity: parties, and the roles and groups they are in.
    named: BTreeSet<(&'static str, String)>,
    attributes: BTreeSet<String>,
    purposes: BTreeSet<String>,
    others_vouch: bool,
}

impl People {
    /// One of them.
    pub fn party(&mut self, party: &Party) {
        self.named.insert((party.kind.as_str(), party.name.clone()));
        let roles = party.roles.iter().map(|role| ("Role", role.clone()));
        let groups = party.groups.iter().map(|group| ("Group", group.clone()));
        self.named.extend(roles.chain(groups));
        self.attributes.extend(party.attributes.keys().cloned());
    }

    /// A purpose that may be declared.
    pub fn purpose(&mut self, name: &str) {
        self.purposes.insert(name.to_owned());
    }

    /// Somebody else vouches for users, with roles and groups nobody here has heard of.
    pub fn others_vouch(&mut self) {
        self.others_vouch = true;
    }

    fn nobody(&self, kind: &str, name: &str) -> Option<Fault> {
        let (what, remedy) = match kind {
            "Agent" => ("agent", "add it under `agents`, or with `sallyport agent add`"),
            "Service" => ("service", "add it under `agents` with `kind: service`"),
            "User" => ("user", "add it under `users`"),
            "Role" => (
                "user or agent in the role",
                "give the role to somebody: `roles: [...]`",
            ),
            "Group" => (
                "user or agent in the group",
                "put somebody in it: `groups: [...]`",
            ),
            _ => return None,
        };
        let is_theirs = matches!(kind, "Group" | "Role" | "User");
        let of_kind = self.named.iter().filter(|(of, _)| *of == kind);
        let known: Vec<&str> = of_kind.map(|(_, name)| name.as_str()).collect();
        if is_theirs && self.others_vouch || known.contains(&name) {
            return None;
        }
        let message = format!("there is no {what} `{name}`");
        Some((message, name.to_owned(), meant(name, &known, remedy)))
    }

    /// Whoever is to agree, where nobody is one of them: then nobody ever can.
    fn nobody_agrees(&self, obligation: &Obligation) -> Option<Fault> {
        match obligation.reviewers()? {
            Reviewers::Group(name) => self.nobody("Group", name),
            Reviewers::Role(name) => self.nobody("Role", name),
            Reviewers::User(name) => self.nobody("User", name),
        }
    }

    fn undeclared(&self, datum: &Datum<'_>) -> Option<Fault> {
        let words = if let Datum::Set(words) = datum {
            words
        } else {
            std::slice::from_ref(datum)
        };
        // Nothing declared is the empty text.
        let is_unknown = |word: &&str| !word.is_empty() && !self.purposes.contains(*word);
        let name = words.iter().filter_map(word).find(is_unknown)?;
        let known: Vec<&str> = self.purposes.iter().map(String::as_str).collect();
        let remedy = meant(name, &known, "declare it under `purposes`");
        Some((format!("there is no purpose `{name}`"), name.to_owned(), remedy))
    }

    fn lacking(&self, name: &str) -> Option<Fault> {
        if ATTRIBUTES.contains(&name) || self.attributes.contains(name) {
            return None;
        }
        let known: Vec<&str> = self.attributes.iter().map(String::as_str).collect();
        let otherwise = format!("give it to somebody under `attributes`, or ask first: `has {name} &&`");
        Some((
            format!("nobody has the attribute `{name}`"),
            name.to_owned(),
            meant(name, &known, &otherwise),
        ))
    }

    fn within(&self, expr: &Expr, asked: &BTreeSet<&str>, found: &mut Vec<Fault>) {
        match expr {
            Expr::Constant(datum) => {
                found.extend(uids(datum).filter_map(|uid| self.nobody(&uid.kind, &uid.id)));
            }
            Expr::Binary(Binary::Equal | Binary::NotEqual | Binary::Contains, sides) => {
                let (left, right) = (path(&sides.0), path(&sides.1));
                for (one, other) in [(left, right), (right, left)] {
                    if let (true, Expr::Constant(datum)) = (is_of_context(one, "purpose"), other) {
                        found.extend(self.undeclared(datum));
                    }
                }
            }
            Expr::Get(of, name) if is_party(of) && !asked.contains(name.as_ref()) => {
                found.extend(self.lacking(name));
            }
            Expr::And(_)
            | Expr::Binary(..)
            | Expr::Get(..)
            | Expr::Has(..)
            | Expr::If(_)
            | Expr::Is(..)
            | Expr::Like(..)
            | Expr::Or(_)
            | Expr::Record(_)
            | Expr::Remembered(_)
            | Expr::Set(_)
            | Expr::Unary(..)
            | Expr::Variable(_) => {}
        }
        expr.parts(&mut |part| self.within(part, asked, found));
    }
}

impl RuleSet {
    /// What the operator's own rules say of nobody there is, in order, with its place and what to do about it.
    #[must_use]
    pub fn strangers(&self, people: &People) -> Vec<Diagnostic> {
        let own = self
            .rules
            .iter()
            .filter(|rule| !packs::is_pack(&rule.text.source));
        own.flat_map(|rule| of_rule(rule, people)).collect()
    }
}

fn of_rule(rule: &Rule, people: &People) -> Vec<Diagnostic> {
    let mut found: Vec<Fault> = Vec::new();
    let named = rule.principal.uid();
    found.extend(named.and_then(|uid| people.nobody(&uid.kind, &uid.id)));
    found.extend(
        rule.obligations
            .iter()
            .filter_map(|owed| people.nobody_agrees(owed)),
    );
    let mut asked = BTreeSet::new();
    for condition in &rule.conditions {
        asked_for(&condition.expr, &mut asked);
    }
    for condition in &rule.conditions {
        people.within(&condition.expr, &asked, &mut found);
    }
    let mut told = BTreeSet::new();
    found.retain(|(message, ..)| told.insert(message.clone()));
    found.into_iter().map(|fault| placed(rule, fault)).collect()
}

/// The attributes of parties a rule asks for with `has`: it minds who has none.
fn asked_for<'e>(expr: &'e Expr, asked: &mut BTreeSet<&'e str>) {
    if let Expr::Has(of, names) = expr
        && is_party(of)
        && let Some(name) = names.first()
    {
        asked.insert(name);
    }
    expr.parts(&mut |part| asked_for(part, asked));
}

fn uids<'d>(datum: &'d Datum<'_>) -> impl Iterator<Item = &'d Uid> {
    let each = if let Datum::Set(elements) = datum {
        elements
    } else {
        std::slice::from_ref(datum)
    };
    each.iter().filter_map(|one| {
        if let Datum::Entity(Entity::Named(uid)) = one {
            Some(uid)
        } else {
            None
        }
    })
}

/// `principal`, `context.user` or `context.agent`.
fn is_party(expr: &Expr) -> bool {
    let expr = path(expr);
    matches!(expr, Expr::Variable(Variable::Principal))
        || is_of_context(expr, "user")
        || is_of_context(expr, "agent")
}

fn is_of_context(expr: &Expr, member: &str) -> bool {
    matches!(path(expr), Expr::Get(of, name) if of.is_context() && name.as_ref() == member)
}
