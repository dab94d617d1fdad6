//! Witnesses (C2SP tlog-witness): others who saw how large a ledger was, and sign it. A ledger whose keys are stolen, or
//! whose whole directory is put back to what it was last week, is consistent with itself; it is not consistent with
//! what somebody else saw.
//!
//! [`Duty`] is being a witness for others; [`keep_asking`] has this gateway's own checkpoints signed by others.

mod asking;
mod duty;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use records::ledger::entry::rfc3339;
use wire::json::ObjectWriter;

pub(crate) use asking::keep_asking;
pub(crate) use duty::{Answer, Duty, cosigner};

/// Both sides, in the house.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    /// Being one, where there are ledgers to witness.
    pub(crate) duty: Option<Duty>,
    /// What others said of this ledger.
    pub(crate) standing: Standing,
}

/// What witnesses said of this ledger, since the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    quorum: usize,
    /// Entries of the newest checkpoint that enough of them signed.
    size: u64,
    witnesses: Vec<One>,
}

/// One witness.
#[derive(Clone, Debug, Default)]
struct One {
    name: String,
    /// Entries of the newest checkpoint it signed, and when it says it did.
    signed: Option<(u64, u64)>,
    trouble: Option<String>,
}

impl Standing {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For operators.
    pub(crate) fn write(&self, out: &mut ObjectWriter<'_>) {
        let seen = self.seen();
        out.integer("quorum", u64::try_from(seen.quorum).unwrap_or(u64::MAX));
        out.integer("of", u64::try_from(seen.witnesses.len()).unwrap_or(u64::MAX));
        out.integer("size", seen.size);
        out.array("witnesses", |list| {
            for one in &seen.witnesses {
                list.object(|out| {
                    out.string("name", &one.name);
                    if let Some((size, time_s)) = one.signed {
                        out.integer("size", size);
                        out.string("time", &rfc3339(time_s.saturating_mul(1_000)));
                    }
                    if let Some(trouble) = &one.trouble {
                        out.string("trouble", trouble);
                    }
                });
            }
        });
    }
}
