//! Bundles of MCPB: the archive, and the signature behind it. Both parsers are modules of the gateway, which is no
//! library; they know bytes alone, so they are taken in as they are.
#![no_main]
#![allow(dead_code, reason = "of the gateway's modules only the parsers are called")]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/gateway/src/registry/supply/calendar.rs"]
mod calendar;
#[path = "../../crates/gateway/src/registry/supply/signed.rs"]
mod signed;
#[path = "../../crates/gateway/src/registry/supply/zip.rs"]
mod zip;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(archive) = zip::Archive::read(bytes) {
        assert!(archive.entries().len() <= zip::ENTRIES_MAX);
        for entry in archive.entries() {
            if let Ok(content) = archive.bytes(entry, 1 << 16) {
                assert!(content.len() <= 1 << 16);
            }
        }
    }
    assert!(signed::detached(bytes, b"x", &[]).is_none(), "nobody vouches");
});
