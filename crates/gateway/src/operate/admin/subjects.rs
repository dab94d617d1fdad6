//! Data subjects: what is kept of a person, holding it, and destroying it.
//!
//! What is erased: the person's data keys (so that payloads and pseudonyms sealed under them open nowhere any
//! more), the rows themselves, and the wrapping key that older copies of the tables need. What stays: the
//! ledger's entries, which have keyed digests of the person and of values, and verify as before.

use std::collections::{BTreeMap, BTreeSet};

use records::{
    keys::{KeyRing, Use},
    ledger::{Entry, Kind},
    table::Owner,
};
use wire::json::{Document, Keys, object};

use super::{Args, count, ledger, write_list};
use crate::{
    failure::Failure,
    known::concerned::{SubjectDigests, named, spellings},
    listen::House,
    storage::{keychain::subject_digests, store::Store},
};

/// The store's table of people whose records must stay. Its keys are keyed digests.
const HOLDS: &str = "holds";
/// What one replica changes at a time: nobody's records are erased while another is told that they are held.
pub(crate) const SUBJECTS: &str = "records of people";
/// What is said in the ledger before somebody is erased.
pub(crate) const ERASING: &str = "erasing";
/// Before what stands for their data keys there.
pub(crate) const ERASED_OWNER: &str = "owner-";
/// Calls whose payloads are asked for at a time.
const CALLS_MAX: usize = 4;

/// A person, as a command names them: in one tenant, or in every tenant there is.
struct Person {
    id: String,
    tenants: BTreeSet<String>,
}

impl Person {
    fn of(house: &House, args: &Args<'_>) -> Result<Self, Failure> {
        let id = args.needed("id")?;
        if named(&id).as_str().is_empty() {
            return Err(Failure::configuration("the identifier of the person is empty"));
        }
        let tenants = match args.text("tenant") {
            Some(tenant) => BTreeSet::from([tenant]),
            None => {
                let people = &house.engines.people;
                let known = people.clients().into_iter().chain(people.users());
                let tenants = known.filter_map(|person| person.party.tenant.clone());
                tenants.chain([String::new()]).collect()
            }
        };
        Ok(Self { id, tenants })
    }

    /// Everything that stands for the person in the ledger.
    fn digests(&self, digests: &SubjectDigests) -> Vec<String> {
        let each = self.tenants.iter();
        each.flat_map(|tenant| digests.all(tenant, &self.id)).collect()
    }
}

/// A word that a person's records must stay.
struct Hold {
    tenant: String,
    id: String,
    why: String,
    by: String,
    since_ms: i64,
}

impl Hold {
    fn read(stored: Vec<u8>) -> Option<Self> {
        let document = Document::parse(stored, Keys::Exact, &wire::bounds::CREDENTIAL).ok()?;
        let root = document.root();
        let text = |name: &str| Some(root.get(name)?.as_str()?.into_owned());
        Some(Self {
            tenant: text("tenant")?,
            id: text("id")?,
            why: text("why")?,
            by: text("by")?,
            since_ms: root.get("since")?.as_number()?.as_i64()?,
        })
    }

    fn write(&self) -> Vec<u8> {
        object(|out| {
            out.string("tenant", &self.tenant);
            out.string("id", &self.id);
            out.string("why", &self.why);
            out.string("by", &self.by);
            out.integer("since", self.since_ms);
        })
    }
}

/// Everything that stands in the ledger for people whose records must stay.
pub(crate) fn held_subjects(store: &Store, digests: &SubjectDigests) -> Result<Vec<String>, Failure> {
    let holds = holds(store)?;
    let each = holds.iter();
    Ok(each
        .flat_map(|(_, hold)| digests.all(&hold.tenant, &hold.id))
        .collect())
}

fn holds(store: &Store) -> Result<BTreeMap<String, Hold>, Failure> {
    let all = store.list(HOLDS).map_err(failed)?;
    let read = |(key, stored)| {
        let hold = Hold::read(stored);
        // A hold nobody can read must not count for none.
        let hold = hold.ok_or_else(|| Failure::other("a legal hold in the store cannot be read"))?;
        Ok((key, hold))
    };
    all.into_iter().map(read).collect()
}

/// What stands for a person, so that the ledger can be searched for it; and whether they are held. That somebody
/// looked is recorded.
pub(super) async fn find(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let person = Person::of(house, args)?;
    let journal = &house.engines.journal;
    let digests = person.digests(&journal.digests().people());
    let held = hold_on(house, &digests)?;
    record(house, "looked-up", &person, args, &[]).await?;
    journal.payloads().settle().await;
    Ok(object(|out| {
        write_list(out, "digests", &digests);
        if let Some(hold) = &held {
            out.object("hold", |out| write_hold(out, hold));
        }
    }))
}

/// The payloads that are kept of some calls.
pub(super) fn payloads(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let calls = args.list("calls");
    if calls.len() > CALLS_MAX {
        return Err(Failure::configuration(format!(
            "ask for at most {CALLS_MAX} calls at a time"
        )));
    }
    let payloads = house.engines.journal.payloads();
    let mut found = Vec::new();
    for call in calls {
        let kept = payloads.of_call(&call).map_err(failed)?;
        found.extend(kept.into_iter().map(|(kept, text)| (call.clone(), kept, text)));
    }
    Ok(object(|out| {
        out.array("payloads", |list| {
            for (call, kept, text) in &found {
                list.object(|out| {
                    out.string("call", call);
                    out.string("part", &kept.part);
                    out.integer("time", kept.time_ms);
                    match text {
                        Some(text) => out.string("text", &String::from_utf8_lossy(text)),
                        None => out.boolean("erased", true),
                    }
                });
            }
        });
    }))
}

/// A person's records stay until they are released, whatever else is asked for.
pub(super) async fn hold(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let person = Person::of(house, args)?;
    let (why, by) = (args.needed("why")?, args.needed("by")?);
    let _alone = house.store.people().lock().await;
    let _everywhere = house.store.alone_with(SUBJECTS).map_err(failed)?;
    record(house, "held", &person, args, &[]).await?;
    let digests = house.engines.journal.digests().people();
    for tenant in &person.tenants {
        let hold = Hold {
            tenant: tenant.clone(),
            id: person.id.clone(),
            why: why.clone(),
            by: by.clone(),
            since_ms: house.engines.ambient.now_ms(),
        };
        if let Some(key) = digests.of(tenant, &named(&person.id)) {
            house.store.put(HOLDS, &key, &hold.write()).map_err(failed)?;
        }
    }
    Ok(object(|out| out.boolean("held", true)))
}

/// Ends a hold.
pub(super) async fn release(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let person = Person::of(house, args)?;
    let _alone = house.store.people().lock().await;
    let _everywhere = house.store.alone_with(SUBJECTS).map_err(failed)?;
    let digests = person.digests(&house.engines.journal.digests().people());
    if hold_on(house, &digests)?.is_none() {
        return Err(Failure::does_not_hold("nothing holds the records of this person"));
    }
    args.needed("by")?;
    record(house, "released", &person, args, &[]).await?;
    let people = house.engines.journal.digests().people();
    for (key, hold) in holds(&house.store)? {
        if overlap(&people.all(&hold.tenant, &hold.id), &digests) {
            house.store.delete(HOLDS, &key).map_err(failed)?;
        }
    }
    Ok(object(|out| out.boolean("held", false)))
}

/// All holds.
pub(super) fn list_holds(house: &House) -> Result<Vec<u8>, Failure> {
    let holds = holds(&house.store)?;
    Ok(object(|out| {
        out.array("holds", |list| {
            for hold in holds.values() {
                list.object(|out| write_hold(out, hold));
            }
        });
    }))
}

fn write_hold(out: &mut wire::json::ObjectWriter<'_>, hold: &Hold) {
    out.string("id", &hold.id);
    out.string("tenant", &hold.tenant);
    out.string("why", &hold.why);
    out.string("by", &hold.by);
    out.integer("since", hold.since_ms);
}

/// Destroys what is kept of a person, for good.
pub(super) async fn erase(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let person = Person::of(house, args)?;
    let engines = &house.engines;
    let _alone = house.store.people().lock().await;
    let _everywhere = house.store.alone_with(SUBJECTS).map_err(failed)?;
    let digests = person.digests(&engines.journal.digests().people());
    if let Some(hold) = hold_on(house, &digests)? {
        return Err(Failure::refused(format!(
            "the records of this person are held by {} ({}); see `sallyport subject release`",
            hold.by, hold.why
        )));
    }
    nobody_is_asked(house, &person)?;
    // Whoever finds this and no `erased` after it does it again; whoever restores a back-up from before does it, too.
    for tenant in &person.tenants {
        let one = Person {
            id: person.id.clone(),
            tenants: BTreeSet::from([tenant.clone()]),
        };
        let tags = spellings(&person.id).into_iter().map(|subject| {
            house.store.state().tag(Owner::Subject {
                tenant,
                subject: &subject,
            })
        });
        let mut entry = about(house, ERASING, &one, args);
        for (n, tag) in tags.enumerate() {
            entry = entry.with(&format!("{ERASED_OWNER}{n}"), tag.to_string());
        }
        append(house, &entry).await?;
    }
    engines.journal.payloads().settle().await;
    let mut shredded = 0;
    let mut pseudonyms = 0;
    let payloads = engines.journal.payloads().delete_of(&digests).map_err(failed)?;
    let spellings = spellings(&person.id);
    for tenant in &person.tenants {
        pseudonyms += engines.disguise.forget(tenant, &spellings).map_err(failed)?;
        for subject in &spellings {
            let owner = Owner::Subject { tenant, subject };
            shredded += house.store.with(|state| state.shred(owner)).map_err(failed)?;
        }
    }
    engines.told.forget(&engines.ambient).map_err(failed)?;
    let destroyed = house
        .store
        .keychain()
        .change(|ring| renew_wrapping(&house.store, ring))?;
    let counts = [
        ("payloads", payloads),
        ("pseudonyms", pseudonyms),
        ("records", shredded),
    ];
    let index = record(house, "erased", &person, args, &counts).await?;
    // From now on every copy of the published ledger says it, to whoever restores a back-up from before.
    ledger::settle(house).await?;
    Ok(object(|out| {
        out.integer("entry", index);
        for (name, number) in counts {
            out.integer(name, count(number));
        }
        write_list(out, "wrapping_keys_destroyed", &destroyed);
    }))
}

/// Changes the wrapping key and destroys all older ones, so that no copy of the tables from before opens with the
/// ring of after.
pub(crate) fn renew_wrapping(store: &Store, ring: &mut KeyRing) -> Result<Vec<String>, Failure> {
    ring.rotate(Use::Wrap).map_err(failed)?;
    store.state().rewrap(ring).map_err(failed)?;
    let old = ring
        .keys()
        .iter()
        .filter(|key| key.purpose == Use::Wrap && key.retired_ms.is_some() && key.secret.is_some());
    let old: Vec<String> = old.map(|key| key.id.clone()).collect();
    for id in &old {
        if store.state().wrapped_by(id).map_err(failed)? > 0 {
            return Err(Failure::other(format!(
                "the wrapping key `{id}` is still in use; try again"
            )));
        }
        ring.destroy(id).map_err(failed)?;
    }
    Ok(old)
}

/// Refuses while anybody is held: what they are held by in the tables of payloads was made with keys for digests, and
/// would not be found without them when it comes to an end.
pub(super) fn nobody_is_held(house: &House) -> Result<(), Failure> {
    if holds(&house.store)?.is_empty() {
        return Ok(());
    }
    let why = "records of people are held, and are known by keys for digests; see `sallyport subject holds`";
    Err(Failure::does_not_hold(why))
}

/// The digests in use, after the ring was changed.
pub(super) fn digests_again(house: &House, ring: &KeyRing) -> Result<(), Failure> {
    let values = ring.digester().map_err(failed)?;
    house
        .engines
        .journal
        .digests()
        .replace(values, subject_digests(ring));
    Ok(())
}

/// A question that waits for people has the call's arguments, sealed by nobody's key: it has to be over first.
fn nobody_is_asked(house: &House, person: &Person) -> Result<(), Failure> {
    let spellings = spellings(&person.id);
    let asked = house.engines.desk.list(house.engines.ambient.now_ms());
    let about = asked.iter().find(|request| {
        let asked = [Some(&request.asked.args), request.asked.beside.as_ref()];
        asked.into_iter().flatten().any(|text| {
            let text = text.to_lowercase();
            let mut spellings = spellings.iter();
            spellings.any(|spelling| text.contains(&spelling.to_lowercase()))
        })
    });
    about.map_or(Ok(()), |request| {
        Err(Failure::does_not_hold(format!(
            "the approval `{}` may be about this person; decide it with `sallyport approvals`, then try again",
            request.id
        )))
    })
}

fn hold_on(house: &House, digests: &[String]) -> Result<Option<Hold>, Failure> {
    let people = house.engines.journal.digests().people();
    let holds = holds(&house.store)?;
    let mut holds = holds.into_values();
    Ok(holds.find(|hold| overlap(&people.all(&hold.tenant, &hold.id), digests)))
}

fn overlap(one: &BTreeSet<String>, other: &[String]) -> bool {
    other.iter().any(|digest| one.contains(digest))
}

/// Records what was done about a person, durably; gives the entry's place.
async fn record(
    house: &House,
    what: &str,
    person: &Person,
    args: &Args<'_>,
    counts: &[(&str, usize)],
) -> Result<u64, Failure> {
    let mut entry = about(house, what, person, args);
    for (name, number) in counts {
        entry = entry.with(name, count(*number));
    }
    append(house, &entry).await
}

async fn append(house: &House, entry: &Entry) -> Result<u64, Failure> {
    let receipt = house.engines.journal.ledger().append_durable(entry).await;
    receipt.map(|receipt| receipt.index).map_err(failed)
}

/// An entry about what is done about a person.
fn about(house: &House, what: &str, person: &Person, args: &Args<'_>) -> Entry {
    let engines = &house.engines;
    let people = engines.journal.digests().people();
    let mut entry = engines.journal.about(Kind::Subject, what);
    let each = person.tenants.iter();
    entry.subjects = each
        .filter_map(|tenant| people.of(tenant, &named(&person.id)))
        .collect();
    entry.reason = args.text("why");
    match args.text("by") {
        Some(by) => entry.with("by", by),
        None => entry,
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::other(error.to_string())
}

#[cfg(test)]
mod tests {
    use records::keys::Use;

    use super::renew_wrapping;
    use crate::{
        ambient::Ambient,
        storage::vault::{Layout, Vault},
    };

    /// How far a change of the wrapping key comes before the power fails.
    #[derive(Clone, Copy, Debug)]
    enum Until {
        Rotated,
        Rewrapped,
        Done,
    }

    /// Opens it once whoever had it has let go.
    fn again(place: &std::path::Path) -> Vault {
        let tried = (0..2_000).find_map(|_| {
            let opened = Vault::try_open(&Layout::new(place), &Ambient::system()).unwrap();
            if opened.is_none() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            opened
        });
        tried.unwrap()
    }

    #[test]
    fn a_change_of_the_wrapping_key_that_is_interrupted_anywhere_loses_nothing_and_is_completed() {
        for until in [Until::Rotated, Until::Rewrapped, Until::Done] {
            let name = format!("sallyport-wrap-{until:?}-{}", std::process::id());
            let place = std::env::temp_dir().join(name);
            let _ = std::fs::remove_dir_all(&place);
            let open = || again(&place);
            let vault = open();
            vault.store().put("t", "k", b"kept").unwrap();
            let changed = vault.store().keychain().change(|ring| {
                match until {
                    Until::Rotated => ring.rotate(Use::Wrap).map(drop).unwrap(),
                    Until::Rewrapped => {
                        ring.rotate(Use::Wrap).map(drop).unwrap();
                        vault.store().state().rewrap(ring).unwrap();
                    }
                    Until::Done => renew_wrapping(vault.store(), ring).map(drop)?,
                }
                Ok(())
            });
            changed.unwrap();
            // Nothing is closed in order.
            drop(vault);
            let vault = open();
            assert_eq!(
                vault.store().get("t", "k").unwrap(),
                Some(b"kept".to_vec()),
                "{until:?}"
            );
            // The next one ends what this one left behind.
            let ended = vault
                .store()
                .keychain()
                .change(|ring| renew_wrapping(vault.store(), ring));
            assert!(!ended.unwrap().is_empty(), "{until:?}");
            let ring = vault.store().keychain().open().unwrap();
            let secrets = ring
                .keys()
                .iter()
                .filter(|key| key.purpose == Use::Wrap && key.secret.is_some());
            assert_eq!(secrets.count(), 1, "{until:?}: only the one in use is left");
            drop(vault);
            let found = open().store().get("t", "k").unwrap();
            assert_eq!(found, Some(b"kept".to_vec()), "{until:?}");
            let _ = std::fs::remove_dir_all(&place);
        }
    }
}
