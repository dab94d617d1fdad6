//! How much.

use pipeline::{
    Objection, Passed,
    decide::Authorized,
    ports::{Limits, Slot},
};

use super::Engines;

/// The limits in force.
#[derive(Debug, Default)]
pub(crate) struct LimitStore {}

impl Limits for Engines {
    fn take(&self, _call: &Passed<Authorized>) -> Result<Slot, Objection> {
        Ok(Slot(Box::new(())))
    }
}
