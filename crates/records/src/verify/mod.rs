//! Verification: does the log hold, judged with public keys alone?
//!
//! It trusts the verifier keys it is given and nothing in the directory. It re-hashes every entry, checks
//! the signed root, every tile and partial tile against the entries, older checkpoints against the tree,
//! the write-ahead segments against both, and that the log tells a whole story: each intent one ending, no
//! silence without an account. What is wrong is located. A liar who holds the log's signing keys can
//! rewrite what no older checkpoint and no witness has seen; who cannot sign can hide nothing that a
//! checkpoint covers.
//!
//! It must not know what entries mean beyond their typed facts, and it writes nothing.

mod blame;
mod evidence;
mod report;
mod story;
mod tail;
mod tree;
mod witnessed;

use std::{path::Path, sync::Arc};

pub use evidence::{CheckedReport, REPORT_TYPE, ReportError, verify_report};
pub use report::{Fault, Problem, Report};
pub use witnessed::Witnesses;

use crate::{
    digest::Digester,
    disk::Disk,
    keys::LogKeys,
    ledger::{
        checkpoint::{Checkpoint, CheckpointError, Vouched},
        layout::Layout,
        merkle::leaf_hash,
        note::{NOTE_BYTES_MAX, Note, SignatureType, VerifierKey},
        proof::{Proof, ProofError},
        reader::Reader,
    },
};

#[cfg(test)]
mod tests;

/// What is to be verified, and with what.
#[derive(Debug)]
pub struct Request<'r> {
    /// The ledger's directory, or a copy, or only its checkpoint and tiles.
    pub dir: &'r Path,
    /// The keys that are trusted: the log's, those it had before, and witnesses'.
    pub known: &'r [VerifierKey],
    /// Whose cosignatures are demanded.
    pub witnesses: Witnesses<'r>,
    /// Checkpoints seen before, each with the name it goes by in the report.
    pub older: &'r [(String, Vec<u8>)],
    /// The log's own keys, for whoever has them: then the unsigned tail is checked for edits too.
    pub own: Option<&'r LogKeys>,
}

/// Whether there is anything of a ledger in a directory. One whose checkpoint was taken away is a ledger that does not
/// hold; a directory that never had one is a mistake of whoever named it.
#[must_use]
pub fn is_ledger(dir: &Path) -> bool {
    let layout = Layout::new(dir);
    let files = [
        layout.checkpoint(),
        layout.cosigned(),
        layout.instance(),
        layout.verifiers(),
        layout.wal(),
        dir.join("tile"),
    ];
    files.iter().any(|file| file.exists())
}

/// Verifies a log.
#[must_use]
pub fn verify(disk: Arc<dyn Disk>, request: &Request<'_>) -> Report {
    let reader = Reader::new(disk.clone(), request.dir);
    let layout = Layout::new(request.dir);
    let mut report = Report::default();
    let cosigned = witnessed::read(&reader, request);
    let Some(head) = head(&*disk, &layout, request.known, &mut report) else {
        return report;
    };
    let frames: Option<&Digester> = request.own.map(LogKeys::frames);
    let tail = tail::read(&*disk, &layout, frames, head.size, &mut report);
    let mut story = story::Story::default();
    let tree = tree::rehash(&reader, &head, &tail, &mut story, &mut report);
    tail.tell(head.size, &mut story, &mut report);
    tree::compare_tiles(&reader, &head, &tree, &mut report);
    for (name, bytes) in request.older {
        older(&reader, &head, &tree, name, bytes, request.known, &mut report);
    }
    let cosigned = cosigned.and_then(|found| witnessed::judge(found, &head, request, &mut report));
    if let Some((note, known)) = cosigned {
        let name = witnessed::FILE;
        older(&reader, &head, &tree, name, note.as_bytes(), &known, &mut report);
    }
    story.end(&mut report);
    report
}

/// Verifies that a proof vouches for an entry, as it is stored.
///
/// # Errors
/// When the proof is malformed, its checkpoint is not to be trusted or too few witnesses signed it, or it is of another
/// entry.
pub fn verify_proof(
    proof: &str,
    entry: &[u8],
    known: &[VerifierKey],
    witnesses: Witnesses<'_>,
) -> Result<(u64, Checkpoint, Vec<Vouched>), ProofError> {
    let proof = Proof::from_text(proof)?;
    let note = Note::from_bytes(proof.checkpoint.as_bytes()).map_err(CheckpointError::from)?;
    let head = Checkpoint::from_text(&note.text).ok_or(CheckpointError::Form)?;
    let keys: Vec<VerifierKey> = known.iter().chain(witnesses.keys).cloned().collect();
    let (head, vouched) = proof.verify(&leaf_hash(entry), &head.origin, &keys)?;
    let own = |one: &Vouched| one.key.name() == head.origin && known.contains(&one.key);
    if !vouched.iter().any(own) {
        return Err(CheckpointError::Unknown(head.origin).into());
    }
    witnesses
        .judge(&head, &vouched)
        .map_err(ProofError::Unwitnessed)?;
    Ok((proof.index, head, vouched))
}

/// Reads and judges the newest checkpoint. One that is not to be trusted still says what the log claims to
/// be, so that the rest can be looked at.
fn head(disk: &dyn Disk, layout: &Layout, known: &[VerifierKey], report: &mut Report) -> Option<Checkpoint> {
    let path = layout.checkpoint();
    let bytes = match disk.read(&path, NOTE_BYTES_MAX) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            report.add(Problem::new(Fault::CheckpointMissing, "there is no checkpoint").file("checkpoint"));
            return None;
        }
        Err(error) => {
            report.add(Problem::new(Fault::Unreadable, &error.to_string()).file("checkpoint"));
            return None;
        }
    };
    let claimed = Note::from_bytes(&bytes)
        .ok()
        .and_then(|note| Checkpoint::from_text(&note.text));
    let origin = claimed
        .as_ref()
        .map(|head| head.origin.clone())
        .unwrap_or_default();
    match Checkpoint::verify(&bytes, &origin, known) {
        Ok((head, vouched)) => {
            judge_signers(&head, &vouched, known, report);
            report.head(&head, &vouched);
            Some(head)
        }
        Err(error) => {
            let fault = match &error {
                CheckpointError::BadSignature(_) => Fault::CheckpointAltered,
                CheckpointError::Unknown(_) => Fault::CheckpointUnknownKey,
                CheckpointError::Form | CheckpointError::Note(_) | CheckpointError::Origin { .. } => {
                    Fault::CheckpointMalformed
                }
            };
            report.add(Problem::new(fault, &error.to_string()).file("checkpoint"));
            if let Some(head) = &claimed {
                report.head(head, &[]);
            }
            claimed
        }
    }
}

/// The log itself must have signed, with each kind of key of its that is known: a witness alone vouches for
/// what it saw, and whoever could forge one kind must not be able to leave the other out.
fn judge_signers(head: &Checkpoint, vouched: &[Vouched], known: &[VerifierKey], report: &mut Report) {
    for kind in [SignatureType::Ed25519, SignatureType::MlDsa44] {
        let of_kind = |key: &VerifierKey| key.kind() == kind && key.name() == head.origin;
        let signed = vouched.iter().any(|one| of_kind(&one.key));
        if known.iter().any(of_kind) && !signed {
            let text = format!("the log has an {kind} key that is known, but it did not sign");
            report.add(Problem::new(Fault::CheckpointUnknownKey, &text).file("checkpoint"));
        }
    }
    if own_signers(head, vouched) == 0 {
        let text = format!("no known key of the log `{}` itself signed", head.origin);
        report.add(Problem::new(Fault::CheckpointUnknownKey, &text).file("checkpoint"));
    }
}

fn own_signers(head: &Checkpoint, vouched: &[Vouched]) -> usize {
    vouched.iter().filter(|one| one.key.name() == head.origin).count()
}

/// Judges a checkpoint that was seen before.
fn older(
    reader: &Reader,
    head: &Checkpoint,
    tree: &tree::Tree,
    name: &str,
    bytes: &[u8],
    known: &[VerifierKey],
    report: &mut Report,
) {
    let old = match Checkpoint::verify(bytes, &head.origin, known) {
        Ok((old, _)) => old,
        Err(error) => {
            return report.add(Problem::new(Fault::OlderCheckpoint, &error.to_string()).file(name));
        }
    };
    report.older += 1;
    let problem = if old.size > head.size {
        let text = format!(
            "the log was rolled back: it had {} entries when `{name}` was signed, now it has {}",
            old.size, head.size
        );
        Problem::new(Fault::RolledBack, &text).index(head.size)
    } else if tree.root_at(reader, old.size) == Some(old.root) {
        return report.agreed(old.size);
    } else {
        let from = report.agreed_size;
        let text = format!(
            "the log does not begin with the {} entries that `{name}` vouches for: an entry from {from} on \
             was replaced",
            old.size
        );
        Problem::new(Fault::Forked, &text).index(from)
    };
    report.add(problem.file(name));
}
