//! Lists that were worked out, kept for whoever asks again: most clients ask for the same list many times.
//!
//! INVARIANT (whole key): a list is kept under everything that working it out reads: the rules by their digest, the
//! parties with their roles and attributes, the action, purpose, task, labels, scopes and connection, and the resources
//! themselves, which a change of the registry makes anew. All of it is compared, not only its hash; so there is nothing
//! to forget to invalidate. Rules that read the time are asked each time.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Discovery, RuleSet,
    expr::{Expr, Variable},
    rule::Rule,
};
use crate::{action::Action, facts::Facts, label::Labels, resource::Resource, subject::Subject};

/// Most lists that are kept; the one that was used longest ago makes room.
const LISTS_MAX: usize = 512;
/// Most entries of all lists together.
const ENTRIES_MAX: usize = 200_000;
/// Most bytes of the names and URIs of all lists together, which servers choose: what is kept holds them when the server
/// has long said others. Entries of usual length come to a tenth of it.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub struct Lists {
    kept: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    lists: HashMap<u64, Kept>,
    entries: usize,
    bytes: usize,
    uses: u64,
}

#[derive(Debug)]
struct Kept {
    key: Key,
    found: Arc<[Discovery]>,
    bytes: usize,
    used: u64,
}

/// What a list was worked out from. The resources are held, so that none of the same address can be another.
#[derive(Debug)]
struct Key {
    rules: Box<str>,
    subject: Subject,
    action: Action,
    purpose: Option<Box<str>>,
    task: Option<Box<str>>,
    labels: Labels,
    scopes: BTreeSet<String>,
    tls: Option<(Box<str>, Box<str>)>,
    resources: Box<[Arc<Resource>]>,
}

impl Lists {
    /// What [`RuleSet::could_permit_each`] says, worked out now or before.
    ///
    /// Of `facts`, arguments, findings and sources are not read, as there.
    #[must_use]
    pub fn could_permit_each(
        &self,
        rules: &RuleSet,
        subject: &Subject,
        action: Action,
        resources: &[Arc<Resource>],
        facts: &Facts<'_>,
    ) -> Arc<[Discovery]> {
        let anew = || {
            let resources = resources.iter().map(AsRef::as_ref);
            Arc::from(rules.could_permit_each(subject, action, resources, facts))
        };
        if rules.reads_time || resources.is_empty() {
            return anew();
        }
        let place = place(rules, subject, action, resources, facts);
        let is_same = |key: &Key| key.is(rules, subject, action, resources, facts);
        if let Some(found) = self.with(|shelf| shelf.find(place, is_same)) {
            return found;
        }
        let found: Arc<[Discovery]> = anew();
        let key = Key {
            rules: rules.digest().into(),
            subject: subject.clone(),
            action,
            purpose: facts.purpose.map(Into::into),
            task: facts.task.map(Into::into),
            labels: facts.labels.clone(),
            scopes: facts.scopes.clone(),
            tls: facts.tls.map(|tls| (tls.version.into(), tls.group.into())),
            resources: resources.into(),
        };
        self.with(|shelf| shelf.put(place, key, Arc::clone(&found)));
        found
    }

    /// How many lists are kept, and with how many entries.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        self.with(|shelf| (shelf.lists.len(), shelf.entries))
    }

    fn with<T>(&self, what: impl FnOnce(&mut Shelf) -> T) -> T {
        what(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shelf {
    fn find(&mut self, place: u64, is_same: impl Fn(&Key) -> bool) -> Option<Arc<[Discovery]>> {
        self.uses += 1;
        let kept = self.lists.get_mut(&place).filter(|kept| is_same(&kept.key))?;
        kept.used = self.uses;
        Some(Arc::clone(&kept.found))
    }

    fn put(&mut self, place: u64, key: Key, found: Arc<[Discovery]>) {
        let bytes = key.bytes();
        if found.len() > ENTRIES_MAX || bytes > BYTES_MAX {
            return;
        }
        // Two keys in one place push each other out.
        self.remove(place);
        while self.lists.len() >= LISTS_MAX
            || self.entries + found.len() > ENTRIES_MAX
            || self.bytes + bytes > BYTES_MAX
        {
            let oldest = self.lists.iter().min_by_key(|(_, kept)| kept.used);
            let Some(oldest) = oldest.map(|(place, _)| *place) else {
                break;
            };
            self.remove(oldest);
        }
        self.entries += found.len();
        self.bytes += bytes;
        let kept = Kept {
            key,
            found,
            bytes,
            used: self.uses,
        };
        self.lists.insert(place, kept);
    }

    fn remove(&mut self, place: u64) {
        if let Some(kept) = self.lists.remove(&place) {
            self.entries -= kept.found.len();
            self.bytes -= kept.bytes;
        }
    }
}

impl Key {
    /// What was said from outside.
    fn bytes(&self) -> usize {
        let named = |resource: &Arc<Resource>| {
            let name = resource.facts().map_or(0, |facts| facts.name.len());
            match &**resource {
                Resource::Resource { uri, .. } => name + uri.len(),
                Resource::Gateway
                | Resource::Model(_)
                | Resource::Prompt(_)
                | Resource::Server(_)
                | Resource::Tool(_) => name,
            }
        };
        let scopes = self.scopes.iter().map(String::len);
        self.resources.iter().map(named).chain(scopes).sum()
    }

    fn is(
        &self,
        rules: &RuleSet,
        subject: &Subject,
        action: Action,
        resources: &[Arc<Resource>],
        facts: &Facts<'_>,
    ) -> bool {
        let mut both = self.resources.iter().zip(resources);
        *self.rules == *rules.digest()
            && self.action == action
            && self.purpose.as_deref() == facts.purpose
            && self.task.as_deref() == facts.task
            && self.labels == *facts.labels
            && self.scopes == *facts.scopes
            && self.tls.as_ref().map(|(version, group)| (&**version, &**group))
                == facts.tls.map(|tls| (tls.version, tls.group))
            && self.subject == *subject
            && self.resources.len() == resources.len()
            && both.all(|(kept, asked)| Arc::ptr_eq(kept, asked))
    }
}

/// Where a list is kept. What is hashed here need not be everything: the whole key is compared.
fn place(
    rules: &RuleSet,
    subject: &Subject,
    action: Action,
    resources: &[Arc<Resource>],
    facts: &Facts<'_>,
) -> u64 {
    let mut hasher = DefaultHasher::new();
    rules.digest().hash(&mut hasher);
    for party in subject.parties() {
        (party.kind, &party.name, &party.tenant).hash(&mut hasher);
    }
    (action, facts.purpose, facts.task, facts.scopes).hash(&mut hasher);
    (
        facts.labels.integrity,
        facts.labels.confidentiality,
        &facts.labels.categories,
    )
        .hash(&mut hasher);
    facts.tls.map(|tls| (tls.version, tls.group)).hash(&mut hasher);
    (resources.len(), resources.first().map(Arc::as_ptr)).hash(&mut hasher);
    hasher.finish()
}

/// Whether any condition could see what time it is.
pub(super) fn reads_time(rules: &[Rule]) -> bool {
    let mut conditions = rules.iter().flat_map(|rule| &rule.conditions);
    conditions.any(|condition| sees_time(&condition.expr))
}

fn sees_time(expr: &Expr) -> bool {
    match expr {
        Expr::Get(of, name) if of.is_context() => name.as_ref() == "time",
        Expr::Has(of, path) if of.is_context() => path.first().is_some_and(|name| name.as_ref() == "time"),
        // The whole of the context has the time in it.
        Expr::Variable(variable) => *variable == Variable::Context,
        Expr::And(_)
        | Expr::Binary(..)
        | Expr::Constant(_)
        | Expr::Get(..)
        | Expr::Has(..)
        | Expr::If(_)
        | Expr::Is(..)
        | Expr::Like(..)
        | Expr::Or(_)
        | Expr::Record(_)
        | Expr::Remembered(_)
        | Expr::Set(_)
        | Expr::Unary(..) => {
            let mut sees = false;
            expr.parts(&mut |part| sees = sees || sees_time(part));
            sees
        }
    }
}
