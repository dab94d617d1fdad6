//! Decisions that want more than one operator: a server approved, released or rolled back, and what was stopped going
//! on again.
//!
//! Who says so is who logged in to the console; on the command line it is who the account that runs the gateway says
//! it is, as with approvals. What is agreed to is exact: where anything of it changes, everybody is asked anew.

use std::collections::BTreeSet;

use records::ledger::Kind;
use serde::{Deserialize, Serialize};
use wire::json::object;

use super::{Args, count};
use crate::{failure::Failure, listen::House, storage::store::StoreError};

/// The store's table.
const TABLE: &str = "operators-agreed";
/// How long a word counts.
const HOLDS_MS: i64 = 24 * 60 * 60 * 1000;

/// What came of asking.
#[derive(Debug)]
pub(super) enum Agreed {
    /// Enough have said so.
    All,
    /// More have to: the answer to give.
    Waits(Vec<u8>),
}

/// Who has said so.
#[derive(Deserialize, Serialize)]
struct Said {
    exactly: String,
    since_ms: i64,
    by: BTreeSet<String>,
}

/// Notes that an operator wants something, and says whether enough do. `what` names it; `exactly` is all that must not
/// change between the first word and the last.
pub(super) async fn agree(
    house: &House,
    args: &Args<'_>,
    what: &str,
    exactly: &str,
) -> Result<Agreed, Failure> {
    let needed = house.operators.needed;
    if needed <= 1 {
        return Ok(Agreed::All);
    }
    let name = args.text("as").ok_or_else(|| {
        Failure::configuration(format!(
            "{needed} operators have to say so; say who you are with `--as USER`"
        ))
    })?;
    let party = house.engines.party(&name);
    let party = party.ok_or_else(|| {
        Failure::configuration(format!(
            "there is no user `{name}`; people are listed under `users`"
        ))
    })?;
    house.operators.admit(&party).map_err(Failure::refused)?;
    let now_ms = house.engines.ambient.now_ms();
    let failed = |error: StoreError| Failure::other(error.to_string());
    let stored = house.store.get(TABLE, what).map_err(failed)?;
    let before = stored
        .and_then(|text| serde_json::from_slice::<Said>(&text).ok())
        .filter(|said| said.exactly == exactly && now_ms - said.since_ms < HOLDS_MS);
    let mut said = before.unwrap_or_else(|| Said {
        exactly: exactly.to_owned(),
        since_ms: now_ms,
        by: BTreeSet::new(),
    });
    said.by.insert(party.name.clone());
    // Whoever is no operator any more has said nothing.
    let counts = |name: &String| {
        let party = house.engines.party(name);
        party.is_some_and(|party| house.operators.admit(&party).is_ok())
    };
    said.by.retain(counts);
    let mut entry = house.engines.journal.about(Kind::Registry, "agreed");
    entry.reason = Some(what.to_owned());
    let entry = entry.with("by", party.name.as_str()).with("exactly", exactly);
    let written = house.engines.journal.ledger().append_durable(&entry).await;
    written.map_err(|error| Failure::other(format!("it could not be recorded: {error}")))?;
    if said.by.len() >= needed {
        house.store.delete(TABLE, what).map_err(failed)?;
        return Ok(Agreed::All);
    }
    let text = serde_json::to_vec(&said).map_err(|error| Failure::other(error.to_string()))?;
    house.store.put(TABLE, what, &text).map_err(failed)?;
    Ok(Agreed::Waits(object(|out| {
        out.string("waits", what);
        out.integer("needed", count(needed));
        out.array("agreed", |list| said.by.iter().for_each(|name| list.string(name)));
    })))
}
