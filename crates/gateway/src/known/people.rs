//! Who is known: users, agents and services, with what rules may read of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use aws_lc_rs::hmac;
use identity::{
    Actor, ActorKind, Asserted, DeclaredContext, Delegated, Model, Principal, SecretDigest,
    jose::KeySet,
    oauth::{Client, ClientLookup, may_act_for},
};
use policy::{Party, PartyKind, Subject, rules::Value};

use crate::{
    config::{Proof, meant::MeantParty},
    known::authorization::LoggedIn,
};

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) party: Party,
    pub(crate) secret: Option<SecretDigest>,
    pub(crate) purposes: BTreeSet<String>,
    pub(crate) keys: Option<Arc<KeySet>>,
    pub(crate) acts_for: Vec<String>,
    /// How the names begin of others it may act for, once it brings their token.
    pub(crate) acts_for_those: Vec<String>,
    pub(crate) model: Option<Model>,
    pub(crate) scopes: Vec<String>,
    /// What it has to prove with each request.
    pub(crate) proof: Option<Proof>,
    /// Added by command, not by configuration.
    pub(crate) added: bool,
}

impl Person {
    /// A user of whom nothing is known here.
    fn of_name(name: &str) -> Self {
        Self {
            party: Party {
                kind: PartyKind::User,
                name: name.to_owned(),
                roles: Vec::new(),
                groups: Vec::new(),
                tenant: None,
                attributes: BTreeMap::new(),
            },
            secret: None,
            purposes: BTreeSet::new(),
            keys: None,
            acts_for: Vec::new(),
            acts_for_those: Vec::new(),
            model: None,
            scopes: Vec::new(),
            proof: None,
            added: false,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct People {
    key: hmac::Key,
    changing: Mutex<()>,
    by_name: RwLock<BTreeMap<(bool, String), Arc<Person>>>,
    configured: RwLock<Configured>,
}

/// What configuration says besides.
#[derive(Debug, Default)]
struct Configured {
    /// Its agents and services, those that were revoked as well.
    clients: BTreeSet<String>,
    purposes: BTreeSet<String>,
}

impl People {
    /// Nobody yet. Secrets are kept as digests under the gateway's own key.
    pub(crate) fn new(key: hmac::Key) -> Self {
        Self {
            key,
            changing: Mutex::default(),
            by_name: RwLock::default(),
            configured: RwLock::default(),
        }
    }

    /// Held through every change, from the look at what is stored to what everybody sees: an agent that is
    /// revoked while the configuration is read again must not come back with it.
    pub(crate) fn alone(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn person_of(&self, party: &MeantParty) -> Person {
        let secret = party
            .secret
            .as_ref()
            .map(|secret| SecretDigest::of(secret, &self.key));
        Person {
            party: party_of(party),
            secret,
            purposes: party.purposes.clone(),
            keys: party.keys.clone(),
            acts_for: party.acts_for.clone(),
            acts_for_those: party.acts_for_those.clone(),
            model: party.model.clone(),
            scopes: party.scopes.clone(),
            proof: party.proof,
            added: false,
        }
    }

    /// Takes over those of the configuration as it is now and those added by command, without those revoked,
    /// in one step. Where both name somebody, configuration is the operator's newer word. Gives back the names
    /// of agents and services that are gone.
    pub(crate) fn replace(
        &self,
        (parties, purposes): (&[MeantParty], &BTreeSet<String>),
        added: Vec<Person>,
        revoked: &BTreeSet<String>,
    ) -> Vec<String> {
        let clients = parties.iter().filter(|party| party.kind != PartyKind::User);
        *self.configured.write().unwrap_or_else(PoisonError::into_inner) = Configured {
            clients: clients.map(|party| party.name.clone()).collect(),
            purposes: purposes.clone(),
        };
        let configured = parties.iter().map(|party| self.person_of(party));
        let next: BTreeMap<(bool, String), Arc<Person>> = added
            .into_iter()
            .chain(configured)
            .map(|person| (key_of(&person), Arc::new(person)))
            .filter(|((user, name), _)| *user || !revoked.contains(name))
            .collect();
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let gone = by_name.keys().filter(|key| !key.0 && !next.contains_key(*key));
        let gone = gone.map(|(_, name)| name.clone()).collect();
        *by_name = next;
        gone
    }

    /// Whether configuration has an agent or service of that name, in force or not.
    pub(crate) fn is_configured(&self, name: &str) -> bool {
        let configured = self.configured.read().unwrap_or_else(PoisonError::into_inner);
        configured.clients.contains(name)
    }

    /// The purposes there are.
    pub(crate) fn purposes(&self) -> BTreeSet<String> {
        let configured = self.configured.read().unwrap_or_else(PoisonError::into_inner);
        configured.purposes.clone()
    }

    fn is_purpose(&self, name: &str) -> bool {
        let configured = self.configured.read().unwrap_or_else(PoisonError::into_inner);
        configured.purposes.contains(name)
    }

    /// The key of secret digests.
    pub(crate) fn key(&self) -> &hmac::Key {
        &self.key
    }

    /// Adds one, or replaces one of the same name.
    pub(crate) fn put(&self, person: Person) {
        self.by_name
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key_of(&person), Arc::new(person));
    }

    /// Removes an agent or service.
    pub(crate) fn remove_client(&self, name: &str) -> Option<Arc<Person>> {
        self.by_name
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&(false, name.to_owned()))
    }

    /// An agent or service.
    pub(crate) fn client(&self, name: &str) -> Option<Arc<Person>> {
        self.person(false, name)
    }

    /// The agent or service with a key of that name or thumbprint; none if several have one.
    pub(crate) fn by_key(&self, name: &str) -> Option<Client> {
        let has_it = |person: &Arc<Person>| {
            person
                .keys
                .as_ref()
                .is_some_and(|keys| keys.named(name).is_some())
        };
        let mut having = self.clients().into_iter().filter(has_it);
        let person = having.next().filter(|_| having.next().is_none())?;
        ClientLookup::client(self, &person.party.name)
    }

    /// A user.
    pub(crate) fn user(&self, name: &str) -> Option<Arc<Person>> {
        self.person(true, name)
    }

    /// All agents and services.
    pub(crate) fn clients(&self) -> Vec<Arc<Person>> {
        let people = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        people
            .iter()
            .filter(|((user, _), _)| !user)
            .map(|(_, person)| Arc::clone(person))
            .collect()
    }

    /// All users.
    pub(crate) fn users(&self) -> Vec<Arc<Person>> {
        let people = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        people
            .iter()
            .filter(|((user, _), _)| *user)
            .map(|(_, person)| Arc::clone(person))
            .collect()
    }

    /// A proven principal as rules see it; none if it is not known any more. How a person logged in is an attribute of
    /// that person, so that rules can demand more than a password.
    pub(crate) fn subject(&self, principal: &Principal) -> Option<Subject> {
        let mut subject = self.known_subject(principal)?;
        if let Some(model) = principal.model() {
            subject.actor.attributes.extend(of_model(model));
        }
        if let Some(login) = principal.login() {
            let person = subject.for_user.as_mut().unwrap_or(&mut subject.actor);
            person
                .attributes
                .insert("mfa".to_owned(), Value::Bool(login.is_multi_factor()));
        }
        Some(subject)
    }

    fn known_subject(&self, principal: &Principal) -> Option<Subject> {
        let actor = principal.actor();
        if let Some(asserted) = principal.asserted() {
            return self.asserted(principal, asserted);
        }
        let actor = self.person(actor.kind == ActorKind::User, &actor.name)?;
        let for_user = match principal.for_user() {
            None => None,
            Some(user) => {
                // The delegation must still stand.
                let may = actor.acts_for.iter().any(|may| may == user);
                Some(self.user(user).filter(|_| may)?.party.clone())
            }
        };
        Some(Subject {
            actor: actor.party.clone(),
            for_user,
        })
    }

    /// Somebody an external issuer vouches for. Its agents must be known here. Its users need not be: what it says
    /// of them counts, and what configuration says of them besides. That a user lets a client act for her
    /// is the issuer's to know, unless the client got that by exchanging her token here.
    fn asserted(&self, principal: &Principal, asserted: &Asserted) -> Option<Subject> {
        // Who belongs to one tenant here is not taken for somebody of another.
        let fits = |party: &Party| {
            let tenants = party.tenant.as_deref().zip(principal.tenant());
            tenants.is_none_or(|(here, there)| here == there)
        };
        let user = |name: &str| {
            let known = self.user(name).map(|person| person.party.clone());
            if known.as_ref().is_some_and(|known| !fits(known)) {
                return None;
            }
            let mut party = known.unwrap_or_else(|| Person::of_name(name).party);
            party.roles.extend(asserted.roles.iter().cloned());
            party.groups.extend(asserted.groups.iter().cloned());
            if let Some(tenant) = principal.tenant() {
                party.tenant = Some(tenant.to_owned());
            }
            Some(party)
        };
        let actor = principal.actor();
        Some(match actor.kind {
            ActorKind::User => Subject {
                actor: user(&actor.name)?,
                for_user: None,
            },
            ActorKind::Agent | ActorKind::Service => {
                let agent = self.client(&actor.name).filter(|agent| fits(&agent.party))?;
                let for_user = match principal.for_user() {
                    None => None,
                    Some(name) => {
                        // A delegation of ours must still stand.
                        let may = match asserted.delegated {
                            Delegated::There => true,
                            Delegated::Here => may_act_for(&agent.acts_for, &agent.acts_for_those, name),
                        };
                        Some(user(name).filter(|_| may)?)
                    }
                };
                let actor = agent.party.clone();
                Subject { actor, for_user }
            }
        })
    }

    /// Whether somebody may declare a context; the error says why not.
    pub(crate) fn may_declare(&self, person: &Person, declared: &DeclaredContext) -> Result<(), String> {
        // Who was added by command keeps a purpose that configuration has no more, and with it the purpose's limits.
        if let Some(purpose) = &declared.purpose
            && !(person.purposes.contains(purpose) && self.is_purpose(purpose))
        {
            return Err(format!(
                "`{}` may not declare the purpose `{purpose}`",
                person.party.name
            ));
        }
        if let Some(trust) = &declared.trust
            && !matches!(trust.as_str(), "trusted" | "untrusted")
        {
            return Err("`trust` is `trusted` or `untrusted`".to_owned());
        }
        Ok(())
    }

    /// In whose name a client acts that somebody lets in who logged in, as the agent it is here or else as that user;
    /// the error says why it may not. Whom a provider vouches for need not be configured here.
    pub(crate) fn letting(
        &self,
        login: &LoggedIn,
        agent: Option<&str>,
        declared: Option<&DeclaredContext>,
    ) -> Result<Letting, String> {
        let user = login.user.as_str();
        let tenant = login.elsewhere.as_ref().and_then(|there| there.tenant.as_deref());
        let person = match (self.user(user), &login.elsewhere) {
            (Some(person), _) => person,
            (None, Some(_)) => Arc::new(Person::of_name(user)),
            (None, None) => return Err("you are not known here any more".to_owned()),
        };
        let actor = match agent {
            None => Arc::clone(&person),
            Some(agent) => {
                let agent = self.client(agent).ok_or("the agent it is here is gone")?;
                if !may_act_for(&agent.acts_for, &agent.acts_for_those, user) {
                    return Err(format!("`{}` may not act for you", agent.party.name));
                }
                agent
            }
        };
        let tenants = |party: &Party| {
            tenant
                .zip(party.tenant.as_deref())
                .is_none_or(|(there, here)| there == here)
        };
        if !tenants(&person.party) || !tenants(&actor.party) {
            return Err("you belong to another tenant than it does here".to_owned());
        }
        if let Some(declared) = declared {
            self.may_declare(&actor, declared)?;
            let named = declared
                .entity
                .as_deref()
                .and_then(|entity| entity.strip_prefix("user:"));
            if named.is_some_and(|named| named != user) {
                return Err("it wants to act for somebody else".to_owned());
            }
        }
        let kind = match actor.party.kind {
            PartyKind::Agent => ActorKind::Agent,
            PartyKind::Service => ActorKind::Service,
            PartyKind::User => ActorKind::User,
        };
        Ok(Letting {
            actor: Actor {
                kind,
                name: actor.party.name.clone(),
            },
            for_user: agent.map(|_| user.to_owned()),
            tenant: tenant.map(str::to_owned).or_else(|| actor.party.tenant.clone()),
            model: actor.model.clone(),
        })
    }

    fn person(&self, user: bool, name: &str) -> Option<Arc<Person>> {
        let people = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        people.get(&(user, name.to_owned())).cloned()
    }
}

/// One of the configuration, as rules see it.
pub(crate) fn party_of(meant: &MeantParty) -> Party {
    let attributes = meant.attributes.clone().into_iter();
    Party {
        kind: meant.kind,
        name: meant.name.clone(),
        roles: meant.roles.clone(),
        groups: meant.groups.clone(),
        tenant: meant.tenant.clone(),
        attributes: attributes.chain(meant.model.iter().flat_map(of_model)).collect(),
    }
}

/// In whose name a client acts that somebody lets in.
#[derive(Clone, Debug)]
pub(crate) struct Letting {
    pub(crate) actor: Actor,
    pub(crate) for_user: Option<String>,
    pub(crate) tenant: Option<String>,
    pub(crate) model: Option<Model>,
}

/// The model behind an agent, as rules see it.
pub(crate) fn of_model(model: &Model) -> impl Iterator<Item = (String, Value)> + use<> {
    let attribute = |name: &str, text: &str| (name.to_owned(), Value::String(text.to_owned()));
    let version = model.version.as_deref();
    [
        Some(attribute("model", &model.name)),
        version.map(|version| attribute("model_version", version)),
        Some(attribute("model_source", model.source.as_str())),
    ]
    .into_iter()
    .flatten()
}

/// Users and clients may have the same name and are two all the same.
fn key_of(person: &Person) -> (bool, String) {
    (person.party.kind == PartyKind::User, person.party.name.clone())
}

impl ClientLookup for People {
    fn client(&self, id: &str) -> Option<Client> {
        let person = self.person(false, id)?;
        let kind = match person.party.kind {
            PartyKind::Agent => ActorKind::Agent,
            PartyKind::Service => ActorKind::Service,
            PartyKind::User => return None,
        };
        Some(Client {
            id: person.party.name.clone(),
            kind,
            secret: person.secret,
            keys: person.keys.clone(),
            scopes: person.scopes.clone(),
            acts_for: person.acts_for.clone(),
            acts_for_those: person.acts_for_those.clone(),
            model: person.model.clone(),
            tenant: person.party.tenant.clone(),
        })
    }
}
