//! Proof, by type, of how far a call has come.

use std::{ops::Deref, sync::Arc};

use crate::{Arrival, Dossier};

/// A message that reached the road. Nothing in it is believed yet.
///
/// INVARIANT (unchanged): the arrival is behind a shared reference from here on, so what was judged is what
/// is sent.
#[derive(Debug)]
#[must_use = "a message that stops here is not answered"]
pub struct Received {
    arrival: Arc<Arrival>,
    dossier: Arc<Dossier>,
}

impl Received {
    pub(crate) fn new(arrival: Arrival) -> Self {
        Self {
            arrival: Arc::new(arrival),
            dossier: Arc::default(),
        }
    }

    /// What arrived.
    #[must_use]
    pub fn arrival(&self) -> &Arrival {
        &self.arrival
    }

    /// What arrived, for whoever closes its case when no stage has it any more.
    #[must_use]
    pub fn shared(&self) -> Arc<Arrival> {
        Arc::clone(&self.arrival)
    }

    /// What is known so far, for the record. Stages write to it; none reads it.
    #[must_use]
    pub fn dossier(&self) -> &Arc<Dossier> {
        &self.dossier
    }
}

/// One row of `stages!`: what must have come before.
pub trait Stage {
    /// The call as it stands just before this stage.
    type Before;
    /// For refusals, metrics and the ledger: the stage's verb.
    const NAME: &'static str;
}

/// A call that has passed every stage up to and including `P`.
///
/// INVARIANT (order): the only constructor takes `P::Before`, so no stage can be skipped.
/// INVARIANT (no forgery): every proof `P` has a private field, so only its own file makes one.
/// INVARIANT (no transfer): a proof never leaves its `Passed` by value, so it cannot vouch for another call.
#[derive(Debug)]
#[must_use = "a call that stops here is not answered"]
pub struct Passed<P: Stage> {
    before: P::Before,
    proof: P,
}

/// A call that stands before stage `P`, whatever `stages!` lists above `P`.
pub type Ready<P> = <P as Stage>::Before;

impl<P: Stage> Passed<P> {
    pub(crate) fn pass(before: P::Before, proof: P) -> Self {
        Self { before, proof }
    }

    pub(crate) fn proof(&self) -> &P {
        &self.proof
    }
}

/// A later call is an earlier call with one more fact, so it answers the earlier questions too.
impl<P: Stage> Deref for Passed<P> {
    type Target = P::Before;

    fn deref(&self) -> &P::Before {
        &self.before
    }
}

/// Declares the order of the stages, once.
macro_rules! stages {
    ($first:ident, $($rest:tt)*) => {
        stages!(@after $first; $($rest)*);
    };
    (@after $before:ty; $phase:ident :: $proof:ident, $($rest:tt)*) => {
        impl $crate::Stage for $phase::$proof {
            type Before = $before;
            const NAME: &'static str = $phase::$proof::VERB;
        }
        stages!(@after $crate::Passed<$phase::$proof>; $($rest)*);
    };
    (@after $before:ty;) => {};
}
