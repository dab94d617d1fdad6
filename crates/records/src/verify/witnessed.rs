//! What witnesses say of a log: that enough of them saw the log it still is.

use std::collections::BTreeSet;

use super::{Fault, Problem, Report, Request};
use crate::ledger::{
    checkpoint::{Checkpoint, Vouched},
    note::VerifierKey,
    reader::{ReadError, Reader},
};

/// What stands in the file, before anything else is read: a log that goes on meanwhile only grows beyond it.
pub(super) fn read(reader: &Reader, request: &Request<'_>) -> Option<Result<Option<String>, ReadError>> {
    (!request.witnesses.is_empty()).then(|| reader.cosigned())
}

/// Judges who cosigned. Gives the checkpoint, which the log must go on from, when enough did.
pub(super) fn judge(
    found: Result<Option<String>, ReadError>,
    head: &Checkpoint,
    request: &Request<'_>,
    report: &mut Report,
) -> Option<(String, Vec<VerifierKey>)> {
    let unwitnessed = |text: &str| Problem::new(Fault::Unwitnessed, text).file(FILE);
    let note = match found {
        Ok(Some(note)) => note,
        Ok(None) => {
            report.add(unwitnessed("no checkpoint that witnesses signed is kept here"));
            return None;
        }
        Err(error) => {
            report.add(Problem::new(Fault::Unreadable, &error.to_string()).file(FILE));
            return None;
        }
    };
    let known: Vec<VerifierKey> = request.known.iter().chain(request.witnesses).cloned().collect();
    let vouched = match Checkpoint::verify(note.as_bytes(), &head.origin, &known) {
        Ok((_, vouched)) => vouched,
        Err(error) => {
            report.add(unwitnessed(&error.to_string()));
            return None;
        }
    };
    // The log is no witness of itself, and what has no time is no cosignature.
    let is_witness = |one: &&Vouched| {
        one.time_s.is_some() && one.key.name() != head.origin && request.witnesses.contains(&one.key)
    };
    let by: BTreeSet<&str> = vouched
        .iter()
        .filter(is_witness)
        .map(|one| one.key.name())
        .collect();
    let wanted = request.quorum.unwrap_or_else(|| names(request.witnesses));
    if by.len() < wanted {
        let text = format!("{} of the {wanted} witnesses that are needed cosigned", by.len());
        report.add(unwitnessed(&text));
        return None;
    }
    report.witnessed_by = vouched
        .iter()
        .filter(is_witness)
        .map(Vouched::to_string)
        .collect();
    Some((note, known))
}

/// The file's name, for people.
pub(super) const FILE: &str = "cosigned";

/// How many witnesses these are the keys of.
fn names(keys: &[VerifierKey]) -> usize {
    keys.iter().map(VerifierKey::name).collect::<BTreeSet<_>>().len()
}
