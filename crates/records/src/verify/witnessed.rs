//! What witnesses say of a log: that enough of them saw the log it still is.

use std::collections::BTreeSet;

use super::{Fault, Problem, Report, Request};
use crate::ledger::{
    checkpoint::{Checkpoint, Vouched},
    note::VerifierKey,
    reader::{ReadError, Reader},
};

/// Whose cosignatures are demanded; nobody's where there are no keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct Witnesses<'r> {
    /// Their keys.
    pub keys: &'r [VerifierKey],
    /// How many of them must have cosigned; all unless said.
    pub quorum: Option<usize>,
}

impl Witnesses<'_> {
    /// Those who cosigned a checkpoint, if they are enough; otherwise why they are not.
    pub(super) fn judge<'v>(
        &self,
        head: &Checkpoint,
        vouched: &'v [Vouched],
    ) -> Result<Vec<&'v Vouched>, String> {
        // The log is no witness of itself, and what has no time is no cosignature.
        let is_witness = |one: &&Vouched| {
            one.time_s.is_some() && one.key.name() != head.origin && self.keys.contains(&one.key)
        };
        let by: Vec<&Vouched> = vouched.iter().filter(is_witness).collect();
        let found = names(by.iter().map(|one| &one.key));
        let wanted = self.quorum.unwrap_or_else(|| names(self.keys));
        if !self.keys.is_empty() && found < wanted {
            return Err(format!(
                "{found} of the {wanted} witnesses that are needed cosigned"
            ));
        }
        Ok(by)
    }
}

/// What stands in the file, before anything else is read: a log that goes on meanwhile only grows beyond it.
pub(super) fn read(reader: &Reader, request: &Request<'_>) -> Option<Result<Option<String>, ReadError>> {
    (!request.witnesses.keys.is_empty()).then(|| reader.cosigned())
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
    let known: Vec<VerifierKey> = request
        .known
        .iter()
        .chain(request.witnesses.keys)
        .cloned()
        .collect();
    let vouched = match Checkpoint::verify(note.as_bytes(), &head.origin, &known) {
        Ok((_, vouched)) => vouched,
        Err(error) => {
            report.add(unwitnessed(&error.to_string()));
            return None;
        }
    };
    match request.witnesses.judge(head, &vouched) {
        Ok(by) => report.witnessed_by = by.into_iter().map(Vouched::to_string).collect(),
        Err(text) => {
            report.add(unwitnessed(&text));
            return None;
        }
    }
    Some((note, known))
}

/// The file's name, for people.
pub(super) const FILE: &str = "cosigned";

/// How many witnesses these are the keys of.
fn names<'k>(keys: impl IntoIterator<Item = &'k VerifierKey>) -> usize {
    let names: BTreeSet<&str> = keys.into_iter().map(VerifierKey::name).collect();
    names.len()
}
