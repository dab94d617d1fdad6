//! Authorize: policy permits exactly this call.

use std::collections::BTreeSet;

use ::inspect::{FindingKind, Findings, SUSPECT_MIN};
use policy::{Action, Decision, Denial, Facts, Permit, TlsFacts, rules::Discovery};
use wire::{
    json::Node,
    mcp::{Method, Target, target},
};

use crate::{
    Objection, Passed, Ready, Refusal,
    ports::{Judged, Rules},
    refusal::{self, Stronger},
};

/// Policy said yes.
#[derive(Debug)]
pub struct Authorized {
    permit: Permit,
    action: Action,
}

impl Authorized {
    pub(crate) const VERB: &'static str = "authorize";
}

impl Passed<Authorized> {
    /// The rules that said yes, and what they demand.
    #[must_use]
    pub fn permit(&self) -> &Permit {
        &self.proof().permit
    }

    /// What was permitted.
    #[must_use]
    pub fn action(&self) -> Action {
        self.proof().action
    }
}

/// Asks the policy engine. No rule means no.
pub(crate) fn authorize(rules: &impl Rules, call: Ready<Authorized>) -> Result<Passed<Authorized>, Refusal> {
    let arrival = call.arrival();
    let action = match arrival.message.method() {
        Some(method) => Action::of(method, arrival.direction),
        // An answer continues the exchange it answers, which was permitted; `resolve` matched the two.
        None => Action::Connect,
    };
    let labels = call.context().labels();
    let facts = facts(&call, &labels);
    let subject = &*call.caller().subject;
    let resource = call.resolution().resource();
    let Judged { decision, by } = rules.decide(subject, action, resource, &facts);
    call.dossier().note(|known| known.policy = Some(by));
    match decision {
        Decision::Permit(permit) => {
            call.dossier().note(|known| {
                known.permitted = true;
                known.rules = permit.rules().to_vec();
                known.obligations = permit.obligations().to_vec();
            });
            misfits(&call, None)?;
            answers_here(&call, &permit)?;
            still_watches(rules, &call, &facts)?;
            Ok(Passed::pass(call, Authorized { permit, action }))
        }
        Decision::Refuse(denial) => {
            call.dossier().note(|known| known.rules.clone_from(&denial.rules));
            if let Some(permit) = rules.observe(subject, action, resource, &facts) {
                call.dossier().note(|known| {
                    known.permitted = true;
                    known.would_refuse = Some(inside(&denial));
                });
                return Ok(Passed::pass(call, Authorized { permit, action }));
            }
            let discovery = rules.could_permit(subject, action, resource, &facts);
            if discovery == Discovery::Listed && could_be_the_arguments(&denial) {
                misfits(&call, Some(&denial))?;
            }
            Err(Refusal::at::<Authorized>(objection(denial, discovery)))
        }
    }
}

/// Whether the refusal may come of arguments that no rule was written for: none forbids, and no scope would cure it.
fn could_be_the_arguments(denial: &Denial) -> bool {
    denial.rules.is_empty() && denial.scope.is_none()
}

/// That a resource changed is told to those who might subscribe to it now: rules may be others than when they did.
fn still_watches(rules: &impl Rules, call: &Ready<Authorized>, facts: &Facts<'_>) -> Result<(), Refusal> {
    let message = &call.arrival().message;
    if message.method() != Some(Method::NotificationsResourcesUpdated) {
        return Ok(());
    }
    let uri = message.params().and_then(|params| params.get("uri"));
    let uri = uri.and_then(Node::as_str).unwrap_or_default();
    let Some(server) = call.resolution().server() else {
        return Ok(());
    };
    // As for the subscription itself: the sink and the labels of a resource are not those of its server.
    let resource = server.resource_at(&uri);
    let subject = &*call.caller().subject;
    let Decision::Refuse(denial) = rules
        .decide(subject, Action::Subscribe, &resource, facts)
        .decision
    else {
        return Ok(());
    };
    if rules
        .observe(subject, Action::Subscribe, &resource, facts)
        .is_some()
    {
        call.dossier()
            .note(|known| known.would_refuse = Some(inside(&denial)));
        return Ok(());
    }
    call.dossier().note(|known| known.rules.clone_from(&denial.rules));
    let discovery = rules.could_permit(subject, Action::Subscribe, &resource, facts);
    Err(Refusal::at::<Authorized>(objection(denial, discovery)))
}

/// The facts of a call, as rules see them.
pub(crate) fn facts<'c>(call: &'c Ready<Authorized>, labels: &'c policy::Labels) -> Facts<'c> {
    let arrival = call.arrival();
    Facts {
        args: arguments(call),
        purpose: call.purpose().map(|purpose| &**purpose),
        task: call
            .principal()
            .declared()
            .and_then(|declared| declared.task.as_deref()),
        labels,
        scopes: call.principal().scopes(),
        findings: counting(call.findings()),
        sources: call.sources(),
        tls: arrival.via.tls.as_ref().map(|tls| TlsFacts {
            version: tls.version,
            group: tls.group,
        }),
        now_ms: arrival.received_ms,
    }
}

/// The kinds of findings that are sure enough to count.
pub(crate) fn counting(findings: &Findings) -> BTreeSet<&'static str> {
    findings
        .iter()
        .filter(|finding| finding.score >= SUSPECT_MIN)
        .map(|finding| finding.kind.as_str())
        .collect()
}

/// What rules read as `context.args`: the arguments of tools and prompts, the whole of `params` otherwise.
fn arguments(call: &Ready<Authorized>) -> Option<Node<'_>> {
    let message = &call.arrival().message;
    match target(message) {
        Ok(Target::Tool { arguments, .. } | Target::Prompt { arguments, .. }) => arguments,
        Ok(
            Target::Completion { .. }
            | Target::Model { .. }
            | Target::None
            | Target::Resource { .. }
            | Target::Task { .. },
        )
        | Err(_) => message.params(),
    }
}

/// Refuses arguments that do not fit. After the rules, so that nobody learns the schema of what they may not call: who is
/// refused learns it only of a tool that is listed to them, with its schema.
fn misfits(call: &Ready<Authorized>, denial: Option<&Denial>) -> Result<(), Refusal> {
    let Some(misfit) = call
        .findings()
        .iter()
        .find(|finding| finding.kind == FindingKind::Schema)
    else {
        return Ok(());
    };
    let at = misfit.location.pointer.as_str();
    let shown = format!("{} at `{}`", misfit.note, if at.is_empty() { "/" } else { at });
    let why = match denial {
        None => shown.clone(),
        Some(denial) => format!("{shown}; {}", inside(denial)),
    };
    let objection = Objection::new(&refusal::ARGUMENTS_INVALID, why).showing(shown);
    Err(Refusal::at::<Authorized>(objection))
}

/// What a task comes to is fetched by a call of its own, under another permit. A permit that demands changes to
/// the answer therefore cannot be met by a task.
fn answers_here(call: &Ready<Authorized>, permit: &Permit) -> Result<(), Refusal> {
    let wants_task = call
        .arrival()
        .message
        .params()
        .is_some_and(|params| params.get("task").is_some());
    let Some(unmet) = permit
        .obligations()
        .iter()
        .find(|o| wants_task && o.holds_answer())
    else {
        return Ok(());
    };
    let why = format!("the result of a task cannot be held to {unmet:?}");
    let objection = Objection::new(&refusal::OBLIGATION_UNMET, why)
        .showing("this call cannot be a task: its answer has to be changed before it is given");
    Err(Refusal::at::<Authorized>(objection))
}

/// What is not to be discovered answers as if it were not there.
fn objection(denial: Denial, discovery: Discovery) -> Objection {
    let inside = inside(&denial);
    if discovery == Discovery::Hidden && denial.scope.is_none() {
        return Objection::new(&refusal::TARGET_UNKNOWN, inside);
    }
    if !denial.errors.is_empty() {
        return Objection::new(&refusal::RULE_FAILED, inside);
    }
    let code = if denial.scope.is_some() {
        &refusal::NOT_GRANTED
    } else {
        &refusal::NOT_PERMITTED
    };
    Objection {
        shown: denial.reason,
        stronger: denial.scope.map(|scope| Box::new(Stronger::Scope(scope))),
        ..Objection::new(code, inside)
    }
}

fn inside(denial: &Denial) -> String {
    let mut parts = Vec::new();
    if let Some((rule, error)) = denial.errors.first() {
        parts.push(format!("rule `{rule}` could not be evaluated: {error}"));
    }
    if let Some(rule) = denial.rules.first() {
        parts.push(format!("rule `{rule}` forbids it"));
    }
    if let Some(reason) = &denial.reason {
        parts.push(reason.clone());
    }
    if parts.is_empty() {
        parts.push("no rule permits it".to_owned());
    }
    parts.join("; ")
}
