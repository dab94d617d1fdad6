//! What contexts have read, and people who take labels off.

use policy::{Confidentiality, Integrity, Labels, Party};
use wire::json::{ObjectWriter, object};

use super::{Args, write_list};
use crate::{conversations::contexts::Kept, failure::Failure, listen::House};

/// The role that may take labels off other people's contexts.
const DECLASSIFIER: &str = "declassifier";
/// The role of the person whose machine it is.
const OWNER: &str = "owner";

/// Every context that has read something.
pub(super) fn list(house: &House) -> Result<Vec<u8>, Failure> {
    let all = house.engines.contexts.all();
    let all = all.map_err(|error| Failure::other(error.to_string()))?;
    Ok(object(|out| {
        out.array("contexts", |list| {
            for kept in &all {
                list.object(|out| write(kept, out));
            }
        });
    }))
}

/// A person takes labels off a context.
pub(super) async fn declassify(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let (id, name, why) = (args.needed("id")?, args.needed("as")?, args.needed("why")?);
    let engines = &house.engines;
    let found = engines
        .contexts
        .kept(&id)
        .map_err(|error| Failure::other(error.to_string()))?;
    let mut kept = found.ok_or_else(|| {
        Failure::configuration(format!(
            "the context `{id}` has no labels; see `sallyport context list`"
        ))
    })?;
    let person = engines.party(&name).ok_or_else(|| {
        Failure::refused(format!(
            "there is no user `{name}`; only a person takes labels off"
        ))
    })?;
    allowed(&person, &kept)?;
    let to = lowered(&kept.labels, args)?;
    let recorded = engines
        .journal
        .declassified(&id, &kept.labels, &to, &name, &why)
        .await;
    recorded
        .map_err(|error| Failure::other(format!("it could not be recorded, so it was not done: {error}")))?;
    let done = engines.contexts.declassify(&kept, to.clone());
    done.map_err(|error| Failure::other(error.to_string()))?;
    kept.labels = to;
    Ok(object(|out| write(&kept, out)))
}

/// Who may: somebody with the role, but not for their own context; on her own machine, the owner.
fn allowed(person: &Party, kept: &Kept) -> Result<(), Failure> {
    let has = |role: &str| person.roles.iter().any(|held| held == role);
    if has(OWNER) {
        return Ok(());
    }
    if !has(DECLASSIFIER) {
        return Err(Failure::refused(format!(
            "`{}` has neither the role `{DECLASSIFIER}` nor `{OWNER}`",
            person.name
        )));
    }
    if kept.user.as_deref() == Some(&person.name) {
        return Err(Failure::refused(format!(
            "the context works for `{}`; somebody else must take its labels off",
            person.name
        )));
    }
    Ok(())
}

/// What is asked to be left; nothing is ever added.
fn lowered(from: &Labels, args: &Args<'_>) -> Result<Labels, Failure> {
    let mut to = from.clone();
    if args.text("integrity").as_deref() == Some(Integrity::Trusted.as_str()) {
        to.integrity = Integrity::Trusted;
    }
    if let Some(word) = args.text("confidentiality") {
        let level = Confidentiality::parse(&word).ok_or_else(|| {
            let known = Confidentiality::ALL.map(Confidentiality::as_str).join(", ");
            Failure::configuration(format!(
                "there is no confidentiality `{word}`; it is one of {known}"
            ))
        })?;
        to.confidentiality = to.confidentiality.min(level);
    }
    for category in args.list("categories") {
        to.categories.remove(&category);
    }
    if to == *from {
        return Err(Failure::configuration(
            "this would take nothing off; see `sallyport context list`",
        ));
    }
    Ok(to)
}

fn write(kept: &Kept, out: &mut ObjectWriter<'_>) {
    out.string("id", &kept.id);
    for (name, party) in [("agent", &kept.agent), ("user", &kept.user)] {
        if let Some(party) = party {
            out.string(name, party);
        }
    }
    out.string("integrity", kept.labels.integrity.as_str());
    out.string("confidentiality", kept.labels.confidentiality.as_str());
    let categories: Vec<String> = kept.labels.categories.iter().cloned().collect();
    write_list(out, "categories", &categories);
}
