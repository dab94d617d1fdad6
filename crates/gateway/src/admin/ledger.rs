//! The ledger of a running gateway.

use wire::json::object;

use crate::{failure::Failure, listen::House};

/// Publishes everything written so far, so that whoever reads the files next sees it.
pub(super) async fn settle(house: &House) -> Result<Vec<u8>, Failure> {
    let ledger = house.engines.journal.ledger();
    let written = ledger.status().written;
    if let Some(last) = written.checked_sub(1) {
        ledger
            .covered(last)
            .await
            .map_err(|error| Failure::unreachable(error.to_string()))?;
    }
    Ok(object(|out| out.integer("size", written)))
}
