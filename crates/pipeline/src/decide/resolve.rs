//! Resolve: the name in the call means one registered, approved, unchanged thing.

use crate::{Passed, Ready, Refusal, Resolution, ports::Resolve};

/// We know what for, and nobody will look it up again.
#[derive(Debug)]
pub struct Resolved {
    resolution: Resolution,
}

impl Resolved {
    pub(crate) const VERB: &'static str = "resolve";
}

impl Passed<Resolved> {
    /// What policy judges and what is reached: one and the same.
    #[must_use]
    pub fn resolution(&self) -> &Resolution {
        &self.proof().resolution
    }
}

/// Looks the name up in the registry.
pub(crate) fn resolve(registry: &impl Resolve, call: Ready<Resolved>) -> Result<Passed<Resolved>, Refusal> {
    let resolution = registry.resolve(&call).map_err(Refusal::at::<Resolved>)?;
    call.dossier()
        .note(|known| known.resolution = Some(resolution.clone()));
    Ok(Passed::pass(call, Resolved { resolution }))
}
