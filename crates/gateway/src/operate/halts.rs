//! The kill switch: what an operator has stopped, from this moment on and over restarts, until it is lifted.
//!
//! It must not know how calls are made; it says who is stopped, and wakes those who wait for that.
//!
//! INVARIANT (stopped first): what is stopped is stopped in memory before it is stored, and lifted in the store
//! before it is lifted in memory. Whatever fails in between, more is stopped than should be, and never less.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use identity::{Actor, ActorKind, Principal};
use pipeline::{Objection, refusal};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use wire::mcp::ServerName;

use crate::storage::store::{Store, StoreError};

/// The store's table.
const TABLE: &str = "halts";

/// What is stopped.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase", tag = "what", content = "name")]
pub(crate) enum Target {
    /// Every call.
    All,
    /// What an agent or a service does, for whomever.
    Agent(String),
    /// What goes on in one context.
    Context(String),
    /// What goes to one server.
    Server(String),
    /// What a user does, and what is done for them.
    User(String),
}

/// Who stopped something, and why.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Halt {
    pub(crate) target: Target,
    pub(crate) why: String,
    pub(crate) by: Option<String>,
    pub(crate) since_ms: i64,
}

type InForce = BTreeMap<Target, Halt>;

/// See the module. Clones are the same switch.
#[derive(Clone, Debug)]
pub(crate) struct Halts {
    /// Shared by the clones: each call has one.
    store: Arc<Store>,
    /// Held while memory and store differ: what is stopped and could not be stored yet.
    unstored: Arc<Mutex<InForce>>,
    in_force: Arc<watch::Sender<InForce>>,
}

/// Whom and what a call concerns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'c> {
    pub(crate) principal: &'c Principal,
    pub(crate) context: Option<&'c str>,
    pub(crate) server: Option<&'c ServerName>,
}

impl Halts {
    /// What was stopped before.
    pub(crate) fn open(store: Store) -> Result<Self, StoreError> {
        let in_force = read(&store)?;
        Ok(Self {
            store: Arc::new(store),
            unstored: Arc::default(),
            in_force: Arc::new(watch::channel(in_force).0),
        })
    }

    /// Takes over what other replicas stopped and lifted. Says whether that was anything. What could not be stored
    /// here stays stopped, and is stored now if that can be.
    pub(crate) fn take_over(&self) -> Result<bool, StoreError> {
        let mut unstored = self.alone();
        unstored.retain(|_, halt| write(&self.store, halt).is_err());
        let mut stored = read(&self.store)?;
        stored.extend(unstored.clone());
        Ok(self.in_force.send_if_modified(|in_force| {
            let differs = !in_force.keys().eq(stored.keys());
            *in_force = stored;
            differs
        }))
    }

    /// Stops something. It is stopped even if that cannot be stored.
    pub(crate) fn put(&self, halt: &Halt) -> Result<(), StoreError> {
        let mut unstored = self.alone();
        self.in_force.send_modify(|in_force| {
            in_force.insert(halt.target.clone(), halt.clone());
        });
        let written = write(&self.store, halt);
        if written.is_err() {
            unstored.insert(halt.target.clone(), halt.clone());
        }
        written
    }

    /// Lifts it; what was lifted, if it was stopped.
    pub(crate) fn lift(&self, target: &Target) -> Result<Option<Halt>, StoreError> {
        let mut unstored = self.alone();
        if !self.in_force.borrow().contains_key(target) {
            return Ok(None);
        }
        self.store.delete(TABLE, &target.to_string())?;
        unstored.remove(target);
        let mut lifted = None;
        self.in_force
            .send_modify(|in_force| lifted = in_force.remove(target));
        Ok(lifted)
    }

    fn alone(&self) -> MutexGuard<'_, InForce> {
        self.unstored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that is stopped.
    pub(crate) fn all(&self) -> Vec<Halt> {
        self.in_force.borrow().values().cloned().collect()
    }

    /// Whether a server is, and why.
    pub(crate) fn server(&self, name: &ServerName) -> Option<Halt> {
        of_server(&self.in_force.borrow(), name).cloned()
    }

    /// Why this may not go on, if it may not.
    pub(crate) fn of(&self, scope: Scope<'_>) -> Option<Halt> {
        find(&self.in_force.borrow(), scope).cloned()
    }

    /// Why somebody may have no token, if they may not: whom the operator stopped gets nothing that outlives that. Where
    /// everything is stopped, nobody is meant.
    pub(crate) fn of_actor(&self, actor: &Actor, for_user: Option<&str>) -> Option<Halt> {
        let in_force = self.in_force.borrow();
        parties(actor, for_user).find_map(|target| in_force.get(&target).cloned())
    }

    /// Waits until this may not go on any more.
    pub(crate) async fn reached(&self, scope: Scope<'_>) -> Halt {
        let mut in_force = self.in_force.subscribe();
        loop {
            if let Some(halt) = find(&in_force.borrow_and_update(), scope) {
                return halt.clone();
            }
            if in_force.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Waits until a server may not be spoken to any more.
    pub(crate) async fn server_reached(&self, name: &ServerName) -> Halt {
        let mut in_force = self.in_force.subscribe();
        loop {
            if let Some(halt) = of_server(&in_force.borrow_and_update(), name) {
                return halt.clone();
            }
            if in_force.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

fn write(store: &Store, halt: &Halt) -> Result<(), StoreError> {
    let text = serde_json::to_vec(halt).map_err(|error| StoreError::other(error.to_string()))?;
    store.put(TABLE, &halt.target.to_string(), &text)
}

fn read(store: &Store) -> Result<InForce, StoreError> {
    let mut in_force = InForce::new();
    for (key, text) in store.list(TABLE)? {
        // What cannot be read may have stopped anything.
        let halt: Halt = serde_json::from_slice(&text)
            .map_err(|error| StoreError::other(format!("what is stopped as `{key}`: {error}")))?;
        in_force.insert(halt.target.clone(), halt);
    }
    Ok(in_force)
}

fn of_server<'h>(in_force: &'h InForce, name: &ServerName) -> Option<&'h Halt> {
    if in_force.is_empty() {
        return None;
    }
    let all = in_force.get(&Target::All);
    all.or_else(|| in_force.get(&Target::Server(name.to_string())))
}

fn find<'h>(in_force: &'h InForce, scope: Scope<'_>) -> Option<&'h Halt> {
    if in_force.is_empty() {
        return None;
    }
    let context = scope.context.map(|context| Target::Context(context.to_owned()));
    let server = scope.server.map(|server| Target::Server(server.to_string()));
    std::iter::once(Target::All)
        .chain(parties(scope.principal.actor(), scope.principal.for_user()))
        .chain(context)
        .chain(server)
        .find_map(|target| in_force.get(&target))
}

/// What stops somebody, whatever they do.
fn parties(actor: &Actor, for_user: Option<&str>) -> impl Iterator<Item = Target> {
    let (agent, user) = match actor.kind {
        ActorKind::User => (None, Some(actor.name.as_str())),
        ActorKind::Agent | ActorKind::Service => (Some(actor.name.as_str()), for_user),
    };
    let owned = |text: &str| text.to_owned();
    let agent = agent.map(owned).map(Target::Agent);
    let user = user.map(owned).map(Target::User);
    agent.into_iter().chain(user)
}

impl Halt {
    /// What a call that is stopped is told.
    pub(crate) fn objection(&self) -> Objection {
        let by = self.by.as_deref().unwrap_or("an operator");
        Objection::new(
            &refusal::HALTED,
            format!("{} is stopped by {by}: {}", self.target, self.why),
        )
    }
}

impl Target {
    /// What it is called in records.
    pub(crate) fn parse(what: &str, name: Option<String>) -> Option<Self> {
        match (what, name) {
            ("all", None) => Some(Self::All),
            ("agent", Some(name)) => Some(Self::Agent(name)),
            ("context", Some(name)) => Some(Self::Context(name)),
            ("server", Some(name)) => Some(Self::Server(name)),
            ("user", Some(name)) => Some(Self::User(name)),
            _ => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Agent(name) => write!(f, "agent {name}"),
            Self::Context(name) => write!(f, "context {name}"),
            Self::Server(name) => write!(f, "server {name}"),
            Self::User(name) => write!(f, "user {name}"),
        }
    }
}

#[cfg(test)]
mod tests;
