//! Agents: who may ask.

use std::{collections::BTreeSet, sync::Arc};

use identity::{
    Model, ModelSource, Secret, SecretDigest,
    jose::{KeySet, PublicKey},
    oauth::Client,
};
use policy::{Party, PartyKind};
use records::{
    digest::{from_hex, hex},
    ledger::Kind,
};
use wire::json::{Document, Keys, Node, ObjectWriter, object};

use super::{Args, users::end_sessions, write_list};
use crate::{
    config::{Meant, Proof, key_set, meant::name_is_fit},
    failure::Failure,
    known::people::{Person, of_model},
    listen::House,
    operate::halts::{Halt, Target},
};

/// Where agents added by command are kept, and the names of those revoked.
const ADDED: &str = "agents";
const REVOKED: &str = "revoked-agents";

pub(super) fn list(house: &House) -> Vec<u8> {
    let stopped = house.engines.halts.all();
    object(|out| {
        out.array("agents", |list| {
            for person in house.engines.people.clients() {
                list.object(|out| {
                    out.string("name", &person.party.name);
                    out.string("kind", person.party.kind.as_str());
                    write_list(out, "roles", &person.party.roles);
                    write_list(
                        out,
                        "purposes",
                        &person.purposes.iter().cloned().collect::<Vec<_>>(),
                    );
                    write_list(out, "for", &person.acts_for);
                    if let Some(model) = &person.model {
                        write_model(model, out);
                    }
                    if let Some(proof) = person.proof {
                        out.string("proof", proof.as_str());
                    }
                    let own = &person.party.name;
                    let is_halted = |halt: &Halt| matches!(&halt.target, Target::Agent(name) if name == own);
                    if stopped.iter().any(is_halted) {
                        out.boolean("suspended", true);
                    }
                    if let Some(keys) = &person.keys {
                        out.array("keys", |out| keys.thumbprints().for_each(|key| out.string(key)));
                    }
                    out.string("from", if person.added { "command" } else { "configuration" });
                });
            }
        });
    })
}

/// Adds an agent and returns its secret, which is shown this once.
pub(super) fn add(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let person = person(house, args, args.needed("name")?, keys(args)?, None)?;
    with_new_credential(house, person, "agent-added")
}

/// Adds an agent that asked with its key, and has the rights a person gives it.
pub(super) fn enrol(
    house: &House,
    args: &Args<'_>,
    name: String,
    keys: Arc<KeySet>,
    declared: Option<Model>,
) -> Result<Vec<u8>, Failure> {
    let person = person(house, args, name, Some(keys), declared)?;
    with_new_credential(house, person, "agent-enrolled")
}

/// A new agent, as an operator describes it. What it says of its model counts where the operator says nothing.
fn person(
    house: &House,
    args: &Args<'_>,
    name: String,
    keys: Option<Arc<KeySet>>,
    declared: Option<Model>,
) -> Result<Person, Failure> {
    fit_name(&name).map_err(Failure::configuration)?;
    if house.engines.people.client(&name).is_some() {
        return Err(Failure::configuration(format!(
            "there is an agent `{name}` already"
        )));
    }
    // With its name, what configuration gives the one that was revoked would be in force again.
    if house.engines.people.is_configured(&name) {
        return Err(Failure::configuration(format!(
            "configuration has an agent `{name}`, which was revoked; take it out there, or choose another name"
        )));
    }
    for user in args.list("for") {
        if house.engines.people.user(&user).is_none() {
            return Err(Failure::configuration(format!("there is no user `{user}`")));
        }
    }
    let purposes: BTreeSet<String> = args.list("purposes").into_iter().collect();
    are_declared(&purposes, &house.engines.people.purposes())?;
    let kind = if args.text("kind").as_deref() == Some("service") {
        PartyKind::Service
    } else {
        PartyKind::Agent
    };
    let model = model(args)?.or(declared);
    let person = Person {
        party: Party {
            kind,
            name,
            roles: args.list("roles"),
            groups: args.list("groups"),
            tenant: args.text("tenant"),
            attributes: model.iter().flat_map(of_model).collect(),
        },
        secret: None,
        keys,
        purposes,
        acts_for: args.list("for"),
        acts_for_those: Vec::new(),
        model,
        scopes: args.list("scopes"),
        proof: proof(args)?,
        added: true,
    };
    if person.proof == Some(Proof::Signature) && person.keys.is_none() {
        return Err(Failure::configuration(
            "it has no key to sign with; give `--keys FILE`",
        ));
    }
    Ok(person)
}

/// A purpose that is misspelt would be declared by nobody else, and no rule would know it.
fn are_declared(purposes: &BTreeSet<String>, declared: &BTreeSet<String>) -> Result<(), Failure> {
    let Some(unknown) = purposes.difference(declared).next() else {
        return Ok(());
    };
    let known: Vec<String> = declared.iter().map(|name| format!("`{name}`")).collect();
    let remedy = if known.is_empty() {
        "none is declared; add it under `purposes`".to_owned()
    } else {
        format!("there are {}; or add it under `purposes`", known.join(", "))
    };
    Err(Failure::configuration(format!(
        "there is no purpose `{unknown}`: {remedy}"
    )))
}

/// Whether an agent of that name was revoked.
pub(super) fn was_revoked(house: &House, name: &str) -> Result<bool, Failure> {
    let found = house.store.get(REVOKED, name);
    found
        .map(|found| found.is_some())
        .map_err(|error| Failure::other(error.to_string()))
}

/// Whether an agent may have that name.
pub(crate) fn fit_name(name: &str) -> Result<(), String> {
    name_is_fit("name", name).map_err(|problem| format!("{}: {}", problem.what, problem.remedy))
}

/// An agent brings its next key, and loses those it had. Tokens it has stay good until they expire.
pub(crate) fn rotate_to(house: &House, client: &Client, key: PublicKey) -> Result<(), Failure> {
    let engines = &house.engines;
    let name = &client.id;
    let _alone = engines.people.alone();
    // It may be gone meanwhile, or have another key already.
    let person = engines
        .people
        .client(name)
        .filter(|person| person.keys == client.keys);
    let person = person.ok_or_else(|| unknown(name))?;
    if !person.added {
        return Err(Failure::configuration(format!(
            "`{name}` has its keys from configuration"
        )));
    }
    let thumbprint = key.thumbprint().to_owned();
    let person = Person {
        keys: Some(Arc::new(KeySet::of(vec![key]))),
        ..(*person).clone()
    };
    let stored = house.store.put(ADDED, name, &write(&person));
    stored.map_err(|error| Failure::other(error.to_string()))?;
    engines.people.put(person);
    let detail = [("agent", name.clone()), ("key", thumbprint)];
    engines.journal.note(Kind::Key, "agent-rotated", &detail);
    Ok(())
}

/// The public keys that were given.
fn keys(args: &Args<'_>) -> Result<Option<Arc<KeySet>>, Failure> {
    let Some(text) = args.text("keys") else {
        return Ok(None);
    };
    let keys = key_set(text.as_bytes());
    let refuse = || {
        Failure::configuration(
            "there is no key in it that can be used; give a JSON Web Key Set of public keys",
        )
    };
    keys.map(|keys| Some(Arc::new(keys))).ok_or_else(refuse)
}

fn write_model(model: &Model, out: &mut ObjectWriter<'_>) {
    out.string("model", &model.name);
    if let Some(version) = &model.version {
        out.string("version", version);
    }
    out.string("model_source", model.source.as_str());
}

/// The model the operator says it is.
fn model(args: &Args<'_>) -> Result<Option<Model>, Failure> {
    let Some(name) = args.text("model") else {
        return Ok(None);
    };
    let model = Model::new(name, args.text("version"), ModelSource::Configured);
    let unfit = || Failure::configuration("the model's name or version is no fit text");
    model.map(Some).ok_or_else(unfit)
}

/// What it has to prove.
fn proof(args: &Args<'_>) -> Result<Option<Proof>, Failure> {
    let Some(word) = args.text("proof") else {
        return Ok(None);
    };
    let unknown = || Failure::configuration("`proof` is one of: dpop, mtls, signature");
    Proof::parse(&word).map(Some).ok_or_else(unknown)
}

/// Gives an agent another secret, or other keys. Tokens it has stay good until they expire.
pub(super) fn rotate(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let name = args.needed("name")?;
    let person = house.engines.people.client(&name).ok_or_else(|| unknown(&name))?;
    if !person.added {
        return Err(Failure::configuration(format!(
            "`{name}` has its secret from configuration; change it there and restart"
        )));
    }
    let keys = keys(args)?;
    if person.proof == Some(Proof::Signature) && keys.is_none() {
        return Err(Failure::configuration(
            "it signs its requests; give `--keys FILE`",
        ));
    }
    let person = Person {
        keys,
        ..(*person).clone()
    };
    with_new_credential(house, person, "agent-rotated")
}

/// Ends an agent: no new tokens, and the ones it has are worth nothing from now on.
pub(super) fn revoke(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let name = args.needed("name")?;
    let engines = &house.engines;
    let _alone = engines.people.alone();
    engines
        .people
        .remove_client(&name)
        .ok_or_else(|| unknown(&name))?;
    let stored = |result: Result<(), crate::storage::store::StoreError>| {
        result.map_err(|e| Failure::other(e.to_string()))
    };
    let _ = house.store.delete(ADDED, &name);
    stored(house.store.put(REVOKED, &name, b"{}"))?;
    cut_off(house, &name);
    engines
        .journal
        .note(Kind::Key, "agent-revoked", &[("agent", name.clone())]);
    Ok(object(|out| out.string("revoked", &name)))
}

fn unknown(name: &str) -> Failure {
    Failure::configuration(format!("there is no agent `{name}`; see `sallyport agent list`"))
}

/// One with keys of its own needs no secret, and has none.
fn with_new_credential(house: &House, mut person: Person, what: &str) -> Result<Vec<u8>, Failure> {
    let _alone = house.engines.people.alone();
    let secret = person.keys.is_none().then(|| house.engines.ambient.secret());
    let digest =
        |secret: &String| SecretDigest::of(&Secret::presented(secret.clone()), house.engines.people.key());
    person.secret = secret.as_ref().map(digest);
    let name = person.party.name.clone();
    house
        .store
        .put(ADDED, &name, &write(&person))
        .map_err(|error| Failure::other(error.to_string()))?;
    // A name that was revoked once may be given to a new agent only by saying so here.
    let _ = house.store.delete(REVOKED, &name);
    let keys = person.keys.iter().flat_map(|keys| keys.thumbprints());
    let keys = keys.collect::<Vec<_>>().join(" ");
    house.engines.people.put(person);
    let detail = [("agent", name.clone()), ("key", keys)];
    house.engines.journal.note(Kind::Key, what, &detail);
    Ok(object(|out| {
        out.string("name", &name);
        if let Some(secret) = &secret {
            out.string("secret", secret);
        }
    }))
}

/// Puts those of the configuration and those added by command in force; who was revoked stays revoked, whatever
/// the configuration says. Who is gone with it can do nothing any more, with tokens or sessions it has.
pub(crate) fn enlist(house: &House, meant: &Meant) -> Result<(), Failure> {
    let failed = |error: crate::storage::store::StoreError| Failure::other(error.to_string());
    let _alone = house.engines.people.alone();
    let added = house.store.list(ADDED).map_err(failed)?;
    let added = added.iter().filter_map(|(_, text)| read(text)).collect();
    let revoked = house.store.list(REVOKED).map_err(failed)?;
    let revoked = revoked.into_iter().map(|(name, _)| name).collect();
    for name in house
        .engines
        .people
        .replace((&meant.parties, &meant.purposes), added, &revoked)
    {
        cut_off(house, &name);
    }
    Ok(())
}

/// Other replicas may have added agents, changed their secrets, or revoked them.
pub(crate) fn recall_agents(house: &House) -> Result<(), Failure> {
    let failed = |error: crate::storage::store::StoreError| Failure::other(error.to_string());
    let people = &house.engines.people;
    let _alone = people.alone();
    let revoked: BTreeSet<String> = house
        .store
        .list(REVOKED)
        .map_err(failed)?
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    for name in &revoked {
        if people.remove_client(name).is_some() {
            cut_off(house, name);
        }
    }
    for (name, text) in house.store.list(ADDED).map_err(failed)? {
        let known = people.client(&name);
        let is_ours = known
            .as_ref()
            .is_some_and(|known| !known.added || write(known) == text);
        if !is_ours && !revoked.contains(&name) {
            read(&text).into_iter().for_each(|person| people.put(person));
        }
    }
    Ok(())
}

/// Ends what somebody has under way: tokens are worth nothing from now on, sessions are over.
fn cut_off(house: &House, name: &str) {
    let engines = &house.engines;
    engines
        .tokens
        .cache
        .cut_off_client(name, engines.ambient.now_ms());
    end_sessions(house, |principal| principal.actor().is_client(name));
}

fn write(person: &Person) -> Vec<u8> {
    object(|out| {
        out.string("name", &person.party.name);
        out.string("kind", person.party.kind.as_str());
        if let Some(digest) = &person.secret {
            out.string("secret", &hex(digest.as_bytes()));
        }
        if let Some(keys) = &person.keys {
            keys.write(out);
        }
        write_list(out, "roles", &person.party.roles);
        write_list(out, "groups", &person.party.groups);
        write_list(
            out,
            "purposes",
            &person.purposes.iter().cloned().collect::<Vec<_>>(),
        );
        write_list(out, "for", &person.acts_for);
        write_list(out, "scopes", &person.scopes);
        if let Some(model) = &person.model {
            write_model(model, out);
        }
        if let Some(proof) = person.proof {
            out.string("proof", proof.as_str());
        }
        if let Some(tenant) = &person.party.tenant {
            out.string("tenant", tenant);
        }
    })
}

fn read(text: &[u8]) -> Option<Person> {
    let document = Document::parse(text.to_vec(), Keys::Exact, &wire::bounds::ANSWER).ok()?;
    let root = document.root();
    let args = Args(root);
    let kind = if root.get("kind").is_some_and(|kind| kind.is_str("Service")) {
        PartyKind::Service
    } else {
        PartyKind::Agent
    };
    let digest = root
        .get("secret")
        .and_then(Node::as_str)
        .and_then(|text| from_hex(&text));
    let digest = digest.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let source = args
        .text("model_source")
        .and_then(|word| ModelSource::parse(&word));
    let source = source.unwrap_or(ModelSource::Configured);
    let model = args
        .text("model")
        .and_then(|name| Model::new(name, args.text("version"), source));
    Some(Person {
        party: Party {
            kind,
            name: args.text("name")?,
            roles: args.list("roles"),
            groups: args.list("groups"),
            tenant: args.text("tenant"),
            attributes: model.iter().flat_map(of_model).collect(),
        },
        secret: digest.map(SecretDigest::from_bytes),
        keys: KeySet::read(root).map(Arc::new),
        purposes: args.list("purposes").into_iter().collect(),
        acts_for: args.list("for"),
        acts_for_those: Vec::new(),
        model,
        scopes: args.list("scopes"),
        proof: args.text("proof").and_then(|word| Proof::parse(&word)),
        added: true,
    })
}
