//! Asking the gateway, or doing it to its data directory when none runs there.

use wire::json::{Document, Keys, Node, ObjectWriter, object};

use super::{Common, complain, place::Place, say, serve::load, table};
use crate::{
    ambient::Ambient,
    assemble,
    config::Meant,
    failure::Failure,
    operate::admin::{self, control},
    storage::vault::{Layout, Vault},
};

/// Operations that reach servers, for which secrets have to be at hand.
const REACH_SERVERS: [&str; 5] = [
    "server.add",
    "server.approve",
    "server.connect",
    "server.learn",
    "server.rollback",
];

/// Does one operation.
pub(super) fn ask(
    common: &Common,
    operation: &str,
    args: impl FnOnce(&mut ObjectWriter<'_>),
) -> Result<Document, Failure> {
    ask_at(&Place::of(common)?, common, operation, args)
}

/// The same where the place is known.
pub(super) fn ask_at(
    place: &Place,
    common: &Common,
    operation: &str,
    args: impl FnOnce(&mut ObjectWriter<'_>),
) -> Result<Document, Failure> {
    let args = object(args);
    super::block_on(async {
        if let Some(answer) = control::ask(&place.control(), operation, &args).await? {
            return Ok(answer);
        }
        let (meant, operation) = configured(place, common, operation)?;
        let ambient = Ambient::system();
        let vault = Vault::open(&Layout::of(&meant), &ambient)?;
        let house = assemble::assemble(&meant, meant.door.listen, ambient, &vault)?;
        let args = Document::parse(args, Keys::Exact, &wire::bounds::ANSWER)
            .map_err(|error| Failure::other(error.to_string()))?;
        let answer = admin::run(&house, operation, args.root()).await;
        house.engines.upstreams.shut_down().await;
        house.engines.journal.payloads().close().await;
        drop(house);
        vault.close().await;
        let parsed = Document::parse(answer?, Keys::Exact, &wire::bounds::ANSWER);
        parsed.map_err(|error| Failure::other(error.to_string()))
    })
}

/// With what configuration an operation is done where no gateway runs, and which one: as much of it as there is.
fn configured<'o>(place: &Place, common: &Common, operation: &'o str) -> Result<(Meant, &'o str), Failure> {
    let is_halt = operation.starts_with("halt.");
    let why = match load(common) {
        Ok(meant) if !place.is_named() => return Ok((meant, operation)),
        Ok(_) => "the data directory was named, and need not be the configuration's".to_owned(),
        Err(failure) if is_halt || !REACH_SERVERS.contains(&operation) => failure.to_string(),
        Err(failure) => return Err(failure),
    };
    if !is_halt {
        return Ok((place.without_secrets()?, operation));
    }
    let operation = match operation {
        "halt.put" => {
            let unknown = "whether there is what is stopped by name is not known";
            complain(&Failure::other(format!("{why}\n  no gateway runs; {unknown}")));
            "halt.put-ahead"
        }
        "halt.lift" => {
            place.knows_operators()?;
            operation
        }
        other => other,
    };
    Ok((place.to_halt()?, operation))
}

/// Asks for a list and says it: for machines one a line, as the ledger's entries are, for people as a table.
pub(super) fn list(
    common: &Common,
    (operation, member): (&str, &str),
    nothing: &str,
    head: &[&str],
    row: impl Fn(Node<'_>) -> Vec<String>,
) -> Result<(), Failure> {
    let answer = ask(common, operation, |_| {})?;
    let listed = answer.root().get(member).into_iter().flat_map(Node::elements);
    if common.json {
        listed.for_each(|one| say(one.written()));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = listed.map(row).collect();
    if rows.is_empty() {
        say(nothing);
    } else {
        say(&table(head, rows));
    }
    Ok(())
}
