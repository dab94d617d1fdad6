//! The ledger's own formats, as a stranger's program would meet them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use records::ledger::{entry::export, note::Note, proof::Proof, tile::TileId};

fuzz_target!(|bytes: &[u8]| {
    let _ = export(0, bytes);
    let _ = Note::from_bytes(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Proof::from_text(text);
        if let Some(tile) = TileId::from_path(text) {
            assert_eq!(tile.path(), text);
        }
    }
});
