//! What other replicas on the same database did: taken over within a second or two.
//!
//! Whatever a replica decides is in the database before it is told, so each follows by reading it again whenever
//! the count of changes is another. What must not be done twice (a yes that is used up) is not left to this: it is
//! settled in the database itself.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    assemble::{self, review_again},
    failure::Failure,
    listen::{House, stopped},
    operate::admin,
    storage::store::StoreError,
};

/// How often the count of changes is asked for.
const LOOK: Duration = Duration::from_millis(500);

/// Follows until told to stop, where there is a database to share.
pub(crate) async fn follow(house: Arc<House>, mut stop: watch::Receiver<bool>) {
    if house.store.server().is_none() {
        return;
    }
    let mut seen = None;
    let mut trouble = false;
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let looking = Arc::clone(&house);
        let looked = tokio::task::spawn_blocking(move || look(&looking, seen)).await;
        match looked.unwrap_or_else(|error| Err(Failure::other(error.to_string()))) {
            Ok(count) => {
                seen = Some(count);
                if std::mem::take(&mut trouble) {
                    tracing::info!("the shared database answers again");
                }
            }
            Err(error) if trouble => tracing::debug!(%error, "the shared database cannot be followed"),
            Err(error) => {
                trouble = true;
                tracing::error!(%error, "the shared database cannot be followed");
            }
        }
    }
}

/// Takes over what changed since a count of changes. Gives the count it is as new as.
fn look(house: &House, seen: Option<u64>) -> Result<u64, Failure> {
    let failed = |error: StoreError| Failure::other(error.to_string());
    if let Err(error) = house.store.hold_log() {
        // Whoever cannot be sure that nobody else writes the log does not write it: calls are refused from now on.
        let _ = house.engines.journal.ledger().close();
        return Err(failed(error));
    }
    // Asked first: what comes in between is looked at again.
    let count = house.store.changes().map_err(failed)?;
    if seen == Some(count) {
        return Ok(count);
    }
    let engines = &house.engines;
    let now_ms = engines.ambient.now_ms();
    if engines.halts.take_over().map_err(failed)? {
        admin::heed_halts(house);
    }
    admin::recall_agents(house)?;
    house.authorization.grants.take_over(now_ms).map_err(failed)?;
    admin::recall_revoked(house).map_err(failed)?;
    house.enrolments.take_over().map_err(failed)?;
    engines.desk.take_over().map_err(failed)?;
    engines.deposits.take_over().map_err(failed)?;
    engines.told.take_over().map_err(failed)?;
    let taken = engines.keeper.take_over();
    taken.map_err(|error| Failure::other(error.to_string()))?;
    if assemble::reviews_changed(house)? {
        review_again(house)?;
    }
    Ok(count)
}
