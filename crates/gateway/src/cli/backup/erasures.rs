//! Who was erased after a back-up was made, from a newer copy of the ledger: they are erased again before the restored
//! tables serve anybody. Entries name nobody; they have what stands for the people's data keys.

use std::{path::Path, sync::Arc};

use records::{
    backup::Manifest,
    disk::RealDisk,
    keys::LogKeys,
    ledger::{Entry, Kind, Reader, Stored},
    table::Tag,
    verify::{Request, Witnesses, verify},
};

use crate::{
    ambient::Ambient,
    cli::ledger::each,
    failure::Failure,
    operate::admin::{ERASED_OWNER, ERASING, renew_wrapping},
    storage::vault::Vault,
};

/// One erasure.
#[derive(Clone, Debug)]
pub(super) struct Erased {
    index: u64,
    subjects: Vec<String>,
    owners: Vec<Tag>,
}

/// The erasures in a ledger that continues that of the back-up.
pub(super) fn since(
    manifest: &Manifest,
    from: &Path,
    newer: &Path,
    keys: &LogKeys,
) -> Result<Vec<Erased>, Failure> {
    let shown = newer.display();
    let checkpoint = from.join("ledger/checkpoint");
    let bytes = std::fs::read(&checkpoint)
        .map_err(|error| Failure::configuration(format!("{}: {error}", checkpoint.display())))?;
    let older = [("that of the back-up".to_owned(), bytes)];
    let report = verify(
        Arc::new(RealDisk),
        &Request {
            dir: newer,
            known: &keys.known(),
            witnesses: Witnesses::default(),
            older: &older,
            own: None,
        },
    );
    if !report.holds() {
        return Err(Failure::does_not_hold(format!(
            "the ledger in {shown} does not continue that of the back-up, so it does not tell who was erased; \
             name another copy:\n{report}"
        )));
    }
    let reader = Reader::new(Arc::new(RealDisk), newer);
    let mut found = Vec::new();
    each(&reader, manifest.size, None, |stored| {
        found.extend(erasure(stored).transpose())
    })?;
    found.into_iter().collect()
}

/// The erasure that an entry tells of.
fn erasure(stored: &Stored) -> Result<Option<Erased>, Failure> {
    let index = stored.index;
    let entry = Entry::read(&stored.bytes)
        .map_err(|error| Failure::does_not_hold(format!("entry {index} of the newer ledger: {error}")))?;
    if entry.kind != Kind::Subject || entry.action.as_deref() != Some(ERASING) {
        return Ok(None);
    }
    let tags = entry.detail.keys().filter(|name| name.starts_with(ERASED_OWNER));
    let tags = tags.map(|name| entry.text(name).and_then(Tag::read));
    let owners: Option<Vec<Tag>> = tags.collect();
    let owners = owners.filter(|owners| !owners.is_empty()).ok_or_else(|| {
        Failure::does_not_hold(format!(
            "entry {index} of the newer ledger tells of an erasure, and not of whom in a way this program can \
             follow; restore a back-up from after it, or say `--nobody-erased` and erase that person again \
             by hand before anybody is served"
        ))
    })?;
    Ok(Some(Erased {
        index,
        subjects: entry.subjects,
        owners,
    }))
}

/// Erases them again, and says so.
pub(super) async fn replay(vault: &Vault, erased: &[Erased], ambient: &Ambient) -> Result<(), Failure> {
    if erased.is_empty() {
        return Ok(());
    }
    let store = vault.store();
    let payloads = vault.has_payloads().then(|| vault.payloads()).transpose()?;
    for one in erased {
        let mut records = 0;
        for owner in &one.owners {
            records += store.state().shred_tagged(*owner).map_err(failed)?;
        }
        let deleted = payloads
            .as_ref()
            .map(|payloads| payloads.delete_of(&one.subjects));
        let deleted = deleted.transpose().map_err(failed)?.unwrap_or(0);
        let mut entry = Entry::new(u64::try_from(ambient.now_ms()).unwrap_or(0), Kind::Subject);
        entry.action = Some("erased-again".to_owned());
        entry.reason = Some("a back-up from before was restored".to_owned());
        entry.subjects.clone_from(&one.subjects);
        let entry = entry
            .with("entry", one.index.to_string())
            .with("payloads", deleted.to_string())
            .with("records", records.to_string());
        vault.ledger().append_durable(&entry).await.map_err(failed)?;
    }
    // No copy of the tables as they were in the back-up opens with the ring of now.
    store
        .keychain()
        .change(|ring| renew_wrapping(store, ring))
        .map(drop)
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::other(error.to_string())
}
