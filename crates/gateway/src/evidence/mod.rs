//! What happened, for others to read and check: the journal, its copies and witnesses, events, incidents and figures.

pub(crate) mod archive;
pub(crate) mod events;
pub(crate) mod incidents;
pub(crate) mod journal;
pub(crate) mod metrics;
pub(crate) mod witness;
