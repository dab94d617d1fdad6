//! Asking the gateway, or doing it to its data directory when none runs there.

use wire::json::{Document, Keys, Node, ObjectWriter, object};

use super::{Common, say, serve::load, table};
use crate::{
    ambient::Ambient,
    assemble,
    failure::Failure,
    operate::admin::{self, control},
    storage::vault::{Layout, Vault},
};

/// Does one operation.
pub(super) fn ask(
    common: &Common,
    operation: &str,
    args: impl FnOnce(&mut ObjectWriter<'_>),
) -> Result<Document, Failure> {
    let meant = load(common)?;
    let args = object(args);
    super::block_on(async {
        let socket = Layout::new(&meant.data).control();
        if let Some(answer) = control::ask(&socket, operation, &args).await? {
            return Ok(answer);
        }
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
