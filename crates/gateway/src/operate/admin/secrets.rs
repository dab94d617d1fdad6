//! Secrets of servers: kept, listed by name, removed. None is ever told.

use records::ledger::Kind;
use wire::json::object;

use super::Args;
use crate::{failure::Failure, listen::House, outside::secrets};

pub(super) fn list(house: &House) -> Result<Vec<u8>, Failure> {
    let names = secrets::names(&house.store).map_err(|error| Failure::other(error.to_string()))?;
    Ok(object(|out| {
        out.array("secrets", |list| {
            names
                .iter()
                .for_each(|name| list.object(|out| out.string("name", name)));
        });
    }))
}

pub(super) fn set(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let name = args.needed("name")?;
    let value = zeroize::Zeroizing::new(args.needed("value")?);
    secrets::set(&house.store, &name, &value).map_err(|why| Failure::configuration(why.to_string()))?;
    house
        .engines
        .journal
        .note(Kind::Configuration, "secret-set", &[("name", name.clone())]);
    Ok(object(|out| out.string("name", &name)))
}

pub(super) fn remove(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let name = args.needed("name")?;
    let removed = secrets::remove(&house.store, &name).map_err(|error| Failure::other(error.to_string()))?;
    removed.ok_or_else(|| Failure::configuration(format!("there is no secret `{name}`")))?;
    house
        .engines
        .journal
        .note(Kind::Configuration, "secret-removed", &[("name", name.clone())]);
    Ok(object(|out| out.string("name", &name)))
}
