//! Resolve: the name in the call means one registered, approved, unchanged thing.

use policy::{Action, Facts, Resource, rules::Discovery};

use crate::{
    Objection, Passed, Ready, Refusal, Resolution,
    ports::{Resolve, Rules, Unfound},
    refusal,
};

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
pub(crate) fn resolve(
    engines: &(impl Resolve + Rules),
    call: Ready<Resolved>,
) -> Result<Passed<Resolved>, Refusal> {
    let resolution = match engines.resolve(&call) {
        Ok(resolution) => resolution,
        Err(Unfound::Nothing(objection)) => return Err(Refusal::at::<Resolved>(*objection)),
        Err(Unfound::Held(resource, objection)) => {
            return Err(Refusal::at::<Resolved>(held(
                engines, &call, &resource, *objection,
            )));
        }
    };
    call.dossier()
        .note(|known| known.resolution = Some(resolution.clone()));
    Ok(Passed::pass(call, Resolved { resolution }))
}

/// That something is held back is told only to those who might use it otherwise.
fn held(rules: &impl Rules, call: &Ready<Resolved>, resource: &Resource, objection: Objection) -> Objection {
    let arrival = call.arrival();
    let labels = call.context().labels();
    let facts = Facts {
        args: None,
        purpose: call.purpose().map(|purpose| &**purpose),
        task: None,
        labels: &labels,
        scopes: call.principal().scopes(),
        findings: Default::default(),
        sources: &[],
        tls: None,
        now_ms: arrival.received_ms,
    };
    match rules.could_permit(&call.caller().subject, Action::upon(resource), resource, &facts) {
        Discovery::Listed => objection,
        Discovery::Hidden => Objection {
            shown: None,
            code: &refusal::TARGET_UNKNOWN,
            ..objection
        },
    }
}
