//! The last two scenes: the ledger is verified from its files alone, and so is a copy with one byte changed.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use records::{
    disk::RealDisk,
    ledger::Reader,
    verify::{Problem, Report, Witnesses},
};

use super::{house::House, scene::Played, show::Show};
use crate::{cli::ledger::check, failure::Failure, storage::vault::keys_of};

/// Verifies the ledger.
pub(super) fn verified(house: &House, show: &Show) -> Result<Played, Failure> {
    show.heading(
        "The ledger is verified",
        "Every call above is in a tree of hashes under a signed head. Whoever has the keys can check it, \
         without the gateway.",
    );
    let layout = house.layout();
    let report = check(&layout.ledger(), &keys_of(&layout)?, &[], Witnesses::default())?;
    let mut played = Played {
        name: "ledger",
        ..Played::default()
    };
    played.facts.push(("verdict", verdict(&report)));
    played.facts.push(("entries", report.entries.to_string()));
    played.found = Some(format!(
        "{}: {} entries, none changed, none missing",
        verdict(&report),
        report.entries
    ));
    if !report.holds() || report.open_calls > 0 || report.unsigned > 0 {
        played.differs = Some(report.to_string());
    }
    Ok(played)
}

/// Flips one bit of one entry in a copy, and verifies the copy.
pub(super) fn tampered(house: &House, theft: Option<u64>, show: &Show) -> Result<Played, Failure> {
    show.heading(
        "One byte of a copy is changed",
        "Somebody would rather not have the theft attempt on record. Verification names the entry and the \
         file.",
    );
    let layout = house.layout();
    let copy = house.directory().join("copy");
    let failed = |error: io::Error| Failure::other(format!("{}: {error}", copy.display()));
    copy_folder(&layout.ledger(), &copy).map_err(failed)?;
    let index = theft.unwrap_or_default();
    let page = Reader::new(Arc::new(RealDisk), &copy).page(index..index + 1, 1);
    let page = page.map_err(|error| Failure::other(format!("the copy cannot be read: {error}")))?;
    let bytes = page
        .first()
        .map(|stored| stored.bytes.as_slice())
        .unwrap_or_default();
    let file = flip(&copy.join("tile"), bytes).map_err(failed)?;
    let file = file.ok_or_else(|| Failure::other("the entry stands in no file of the ledger"))?;
    let file = file.strip_prefix(&copy).unwrap_or(&file).display().to_string();
    let report = check(&copy, &keys_of(&layout)?, &[], Witnesses::default())?;
    let is_it =
        |problem: &&Problem| problem.index == Some(index) && problem.file.as_deref() == Some(file.as_str());
    let named = report.problems.iter().find(is_it);
    let mut played = Played {
        name: "tampered-ledger",
        ..Played::default()
    };
    played.facts.push(("verdict", verdict(&report)));
    match named {
        Some(problem) => {
            played.facts.push(("fault", problem.fault.as_str().to_owned()));
            played.facts.push(("index", index.to_string()));
            played.facts.push(("file", file.clone()));
            played.found = Some(format!(
                "{}: entry {index} in {file}: {}",
                verdict(&report),
                problem.text
            ));
        }
        None => {
            let what = format!("entry {index} in {file} was changed, and verification says: {report}");
            played.differs = Some(what);
        }
    }
    Ok(played)
}

fn verdict(report: &Report) -> String {
    if report.holds() { "holds" } else { "does not hold" }.to_owned()
}

/// Flips a bit in the middle of these bytes, in the longest of the files they stand in: shorter ones are
/// states of the same bundle that are over.
fn flip(folder: &Path, bytes: &[u8]) -> io::Result<Option<PathBuf>> {
    let mut holding = Vec::new();
    find(folder, bytes, &mut holding)?;
    let Some((mut content, at, path)) = holding.into_iter().max_by_key(|(content, ..)| content.len()) else {
        return Ok(None);
    };
    if let Some(byte) = content.get_mut(at + bytes.len() / 2) {
        *byte ^= 1;
    }
    fs::write(&path, content)?;
    Ok(Some(path))
}

/// The files that hold these bytes: content, place and path.
fn find(folder: &Path, bytes: &[u8], holding: &mut Vec<(Vec<u8>, usize, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, bytes, holding)?;
            continue;
        }
        let content = fs::read(&path)?;
        let at = content.windows(bytes.len()).position(|window| window == bytes);
        holding.extend(at.map(|at| (content, at, path)));
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
