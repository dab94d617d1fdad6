//! Letting an operator in over HTTP: a link for a browser, or a token for the API.

use wire::json::object;

use super::Args;
use crate::{
    failure::Failure,
    listen::House,
    operate::console::{Door, Operator, Right},
};
use records::ledger::{Kind, entry::rfc3339};

/// How long a link waits to be opened, in milliseconds.
const LINK_MS: i64 = 2 * 60 * 1000;
/// Most hours a token lasts.
const HOURS_MAX: i64 = 24 * 30;

/// Makes a link or a token. Whoever can ask for it owns the data directory.
pub(super) async fn open(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let user = args.text("as");
    if let Some(name) = &user
        && house.engines.people.user(name).is_none()
    {
        return Err(Failure::configuration(format!(
            "there is no user `{name}`; people are listed under `users`"
        )));
    }
    let right = match args.text("right").as_deref() {
        Some("see") => Right::See,
        Some(_) | None => Right::Operate,
    };
    let door = match args.text("door").as_deref() {
        Some("token") => Door::Token,
        Some(_) | None => Door::Link,
    };
    let hours = match args.text("hours") {
        None => 8,
        Some(text) => text
            .parse::<i64>()
            .ok()
            .filter(|hours| (1..=HOURS_MAX).contains(hours))
            .ok_or_else(|| Failure::configuration(format!("`hours` is a number from 1 to {HOURS_MAX}")))?,
    };
    let for_ms = match door {
        Door::Link => LINK_MS,
        Door::Token | Door::Cookie => hours * 3_600_000,
    };
    let engines = &house.engines;
    let mut entry = engines.journal.about(Kind::Session, "console-opened");
    entry.principal.user.clone_from(&user);
    let entry = entry
        .with("right", right.as_str())
        .with("door", if door == Door::Token { "token" } else { "link" });
    let written = engines.journal.ledger().append_durable(&entry).await;
    written.map_err(|error| {
        Failure::unreachable(format!(
            "it could not be recorded, so nothing was opened: {error}"
        ))
    })?;
    let operator = Operator {
        user,
        right,
        login: None,
    };
    let secret = house
        .console
        .seats
        .give(&engines.ambient, door, operator, for_ms)
        .ok_or_else(|| Failure::refused("too many consoles and tokens are open; wait until some are over"))?;
    let until_ms = u64::try_from(engines.ambient.now_ms() + for_ms).unwrap_or(0);
    Ok(object(|out| {
        match door {
            // Behind the `#`, a link's secret would not reach us; before it, it is used up at once.
            Door::Link => out.string("url", &format!("{}/console/enter?code={secret}", house.base)),
            Door::Token | Door::Cookie => out.string("token", &secret),
        }
        out.string("base", &format!("{}/api/v1", house.base));
        out.string("expires", &rfc3339(until_ms));
    }))
}
