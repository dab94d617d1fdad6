//! Being a witness: what was seen last of each ledger is kept before anything is signed, so that a witness that is
//! killed in the middle never signs two stories.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use records::{
    digest::{hex, sha256},
    keys::Cosigner,
    ledger::{
        Kind,
        checkpoint::Checkpoint,
        note::{Note, NoteSignature, VerifierKey},
        witness::{Authentic, Consistent, Declined, Submission},
    },
};

use crate::{
    ambient::Ambient,
    config::witness::MeantWitness,
    evidence::journal::Journal,
    failure::Failure,
    storage::store::{Exchanged, Store, StoreError},
};

/// The store's table of what was seen last, and that of the same with the cosignatures, for who monitors.
const SEEN: &str = "witnessed";
const COSIGNED: &str = "cosigned";
/// How often the ledger tells of one log that it does not go on from what was seen.
const TELL_MS: i64 = 60_000;

/// What becomes of a submission.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Lines of signature.
    Cosigned(String),
    Declined(Declined),
    /// Nothing could be kept, so nothing was signed.
    Failed(String),
}

/// A witness of the ledgers of others.
#[derive(Debug)]
pub(crate) struct Duty {
    cosigner: Cosigner,
    logs: Vec<VerifierKey>,
    store: Store,
    journal: Journal,
    ambient: Ambient,
    /// When it was last told of a log that it does not go on, proven or not.
    told: Mutex<BTreeMap<(String, bool), i64>>,
}

/// The keys of this gateway as a witness.
pub(crate) fn cosigner(store: &Store, name: Option<&str>) -> Result<Cosigner, Failure> {
    let keychain = store.keychain();
    let origin = keychain.origin()?;
    let failed = |error: &dyn std::fmt::Display| Failure::configuration(error.to_string());
    let keys = keychain
        .open_log()?
        .log_keys(&origin)
        .map_err(|error| failed(&error))?;
    let name = name.map_or_else(|| format!("{origin}/witness"), str::to_owned);
    keys.cosigner(&name).map_err(|error| failed(&error))
}

impl Duty {
    /// The duty that configuration gives, if it gives one.
    pub(crate) fn of(
        meant: &MeantWitness,
        store: &Store,
        journal: &Journal,
        ambient: &Ambient,
    ) -> Result<Option<Self>, Failure> {
        if meant.logs.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            cosigner: cosigner(store, meant.name.as_deref())?,
            logs: meant.logs.clone(),
            store: store.clone(),
            journal: journal.clone(),
            ambient: ambient.clone(),
            told: Mutex::default(),
        }))
    }

    /// Judges a submission, keeps it, and then signs it. Blocks for the disk.
    pub(crate) fn add(&self, body: &[u8]) -> Answer {
        let authentic = Submission::from_bytes(body).and_then(|one| one.authenticate(&self.logs));
        match authentic {
            Ok(authentic) => self.consider(authentic),
            Err(declined) => Answer::Declined(declined),
        }
    }

    fn consider(&self, authentic: Authentic) -> Answer {
        let key = self.key(&authentic.checkpoint().origin);
        let last = match self.store.get(SEEN, &key) {
            Ok(last) => last,
            Err(error) => return failed(&error),
        };
        let seen = match last.as_deref().map(checkpoint_of).transpose() {
            Ok(seen) => seen,
            Err(why) => return Answer::Failed(why.to_owned()),
        };
        let accused = authentic.clone();
        let consistent = match authentic.follows(seen.as_ref()) {
            Ok(consistent) => consistent,
            Err(declined) => {
                if matches!(declined, Declined::Inconsistent(_)) {
                    self.tell(&accused, seen.as_ref(), &declined);
                }
                return Answer::Declined(declined);
            }
        };
        // Of before anything larger can be kept: what is signed is that nothing larger was seen then.
        let time_s = u64::try_from(self.ambient.now_ms() / 1_000).unwrap_or(0);
        match self.keep(&key, last.as_deref(), &consistent) {
            Ok(Exchanged::Done) => self.sign(&key, &consistent, time_s),
            // Another submission came first.
            Ok(Exchanged::Otherwise) => match self.size(&key) {
                Ok(size) => Answer::Declined(Declined::Conflict(size)),
                Err(error) => failed(&error),
            },
            Err(error) => failed(&error),
        }
    }

    /// Keeps what was seen, durably, if nobody kept anything else meanwhile.
    fn keep(&self, key: &str, last: Option<&[u8]>, consistent: &Consistent) -> Result<Exchanged, StoreError> {
        let note = consistent.note().to_string();
        let kept = self
            .store
            .exchange(SEEN, key, |found| found == last, Some(note.as_bytes()))?;
        if last.is_none() && kept == Exchanged::Done {
            let Checkpoint { origin, size, .. } = consistent.checkpoint();
            let about = [("log", origin.clone()), ("size", size.to_string())];
            self.journal.note(Kind::Configuration, "witness-begun", &about);
        }
        Ok(kept)
    }

    fn sign(&self, key: &str, consistent: &Consistent, time_s: u64) -> Answer {
        let (checkpoint, note) = (consistent.checkpoint(), consistent.note());
        let signatures = match self.cosigner.cosign(checkpoint, &note.text, time_s) {
            Ok(signatures) => signatures,
            Err(error) => return failed(&error),
        };
        let lines: String = signatures.iter().map(NoteSignature::to_string).collect();
        let whole = Note {
            text: note.text.clone(),
            signatures: note.signatures.iter().cloned().chain(signatures).collect(),
        };
        // Only for who monitors: what was seen is kept already.
        let grows = |found: Option<&[u8]>| {
            let shown = found.and_then(|note| checkpoint_of(note).ok());
            shown.is_none_or(|shown| shown.size <= checkpoint.size)
        };
        let whole = whole.to_string();
        if let Err(error) = self.store.exchange(COSIGNED, key, grows, Some(whole.as_bytes())) {
            tracing::warn!(%error, "a cosigned checkpoint cannot be shown to monitors");
        }
        Answer::Cosigned(lines)
    }

    /// The newest checkpoint it signed of the log whose name has this SHA-256, with its signatures.
    pub(crate) fn newest(&self, origin_hash: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let named = |key: &&VerifierKey| hex(&sha256(&[key.name().as_bytes()])) == origin_hash;
        match self.logs.iter().find(named) {
            Some(log) => self.store.get(COSIGNED, &self.key(log.name())),
            None => Ok(None),
        }
    }

    fn size(&self, key: &str) -> Result<u64, StoreError> {
        let last = self.store.get(SEEN, key)?;
        let size = last
            .as_deref()
            .map(checkpoint_of)
            .transpose()
            .map_err(|why| StoreError::other(why.to_owned()));
        Ok(size?.map_or(0, |seen| seen.size))
    }

    /// A log that signed two stories is worth an entry here. Whether what was submitted proves it, the entry says.
    fn tell(&self, accused: &Authentic, seen: Option<&Checkpoint>, declined: &Declined) {
        let Checkpoint { origin, size, .. } = accused.checkpoint();
        // Anybody may submit what a log signed, with any proof.
        let is_proven = seen.is_some_and(|seen| accused.contradicts(seen));
        let now_ms = self.ambient.now_ms();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let what = (origin.clone(), is_proven);
        if told.get(&what).is_some_and(|at| now_ms - at < TELL_MS) {
            return;
        }
        told.insert(what, now_ms);
        drop(told);
        tracing::error!(log = origin, size, why = %declined, is_proven, "a log that is witnessed here does not go on");
        let about = [
            ("log", origin.clone()),
            ("proven", is_proven.to_string()),
            ("why", declined.to_string()),
            ("seen", seen.map_or(0, |seen| seen.size).to_string()),
            ("checkpoint", accused.note().to_string()),
        ];
        self.journal.note(Kind::Finding, "witness-declined", &about);
    }

    /// Where a log's place in the tables is: this witness's own, since replicas share them.
    fn key(&self, origin: &str) -> String {
        hex(&sha256(&[
            self.cosigner.name().as_bytes(),
            b"\n",
            origin.as_bytes(),
        ]))
    }
}

fn checkpoint_of(note: &[u8]) -> Result<Checkpoint, &'static str> {
    let note = Note::from_bytes(note).ok();
    let found = note.and_then(|note| Checkpoint::from_text(&note.text));
    found.ok_or("what was seen last cannot be read")
}

fn failed(error: &dyn std::fmt::Display) -> Answer {
    Answer::Failed(error.to_string())
}
