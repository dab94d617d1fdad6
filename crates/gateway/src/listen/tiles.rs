//! The ledger over HTTP: its checkpoint and its tiles, as static files anybody may read (C2SP tlog-tiles).
//!
//! Entries hold names of tools and agents, so entry bundles are not served here; hashes say nothing.

use std::sync::Arc;

use hyper::{Response, StatusCode};
use records::ledger::tile::{Layer, TileId};

use super::{
    House,
    body::{self, Body},
};

/// `/ledger/checkpoint`, `/ledger/tile/<L>/<N>[.p/<W>]`
pub(super) async fn serve(house: &Arc<House>, path: &str) -> Response<Body> {
    let reader = house.engines.journal.ledger().reader();
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || match path.as_str() {
        "checkpoint" => Some((
            reader.checkpoint().ok()?.into_bytes(),
            "text/plain; charset=utf-8",
        )),
        tile => Some((reader.tile(of_hashes(tile)?).ok()?, "application/octet-stream")),
    });
    match read.await {
        Ok(Some((bytes, content_type))) => body::with_type(StatusCode::OK, content_type, bytes),
        Ok(None) | Err(_) => body::empty(StatusCode::NOT_FOUND),
    }
}

/// A tile of hashes; not one of entries.
fn of_hashes(path: &str) -> Option<TileId> {
    TileId::from_path(path).filter(|tile| matches!(tile.layer, Layer::Hashes(_)))
}
