//! Back-ups of the data directory while it is used.

use std::path::{Path, PathBuf};

use records::backup::{self, Sources};
use wire::json::object;

use super::{Args, aside, ledger};
use crate::{failure::Failure, listen::House};

/// Copies everything but the root key into a new directory.
pub(super) async fn create(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let to = PathBuf::from(args.needed("to")?);
    if let Some(server) = house.store.server() {
        return Err(Failure::configuration(format!(
            "the tables are in {}; copy them with `pg_dump --schema sallyport`, and the data directory with the \
             gateway stopped",
            server.name()
        )));
    }
    house.engines.journal.payloads().settle().await;
    ledger::settle(house).await?;
    let made = aside(|| made(house, &to))?;
    let detail = [
        ("entries", made.size.to_string()),
        ("files", made.files.len().to_string()),
    ];
    house
        .engines
        .journal
        .note(records::ledger::Kind::Configuration, "backed-up", &detail);
    Ok(object(|out| {
        out.string("to", &to.display().to_string());
        out.integer("entries", made.size);
        out.integer("files", super::count(made.files.len()));
    }))
}

fn made(house: &House, to: &Path) -> Result<backup::Manifest, Failure> {
    let keychain = house.store.keychain();
    let ledger = house.engines.journal.ledger().reader();
    let made_ms = u64::try_from(house.engines.ambient.now_ms()).unwrap_or(0);
    // While this runs nobody changes the keys: those in the copy open the tables in it.
    keychain.change(|ring| {
        let keys = ring.log_keys(&keychain.origin()?);
        let keys = keys.map_err(|error| Failure::other(error.to_string()))?;
        let files = keychain.files();
        let sources = Sources {
            files: &files,
            ledger: ledger.dir(),
        };
        let tables = |to: &Path| {
            let state = house.store.state().copy_to(&to.join("state.db"));
            state.map_err(|error| error.to_string())?;
            let payloads = house.engines.journal.payloads().copy_to(&to.join("payloads.db"));
            payloads.map_err(|error| error.to_string())
        };
        backup::create(to, sources, &keys, made_ms, tables)
            .map_err(|error| Failure::configuration(error.to_string()))
    })
}
