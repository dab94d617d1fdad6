//! Filter: the answer holds only what this caller may see.

use std::sync::Arc;

use ::inspect::FindingKind;
use policy::{
    Action, Decision, Facts, Obligation,
    rules::{Discovery, strictest},
};
use wire::{
    bounds::{PAGE_BYTES_MAX, PAGE_ENTRIES_MAX},
    json::{Edits, object},
};

use crate::{
    Answer, Body, Listing, Objection, Passed, Ready, Refusal, Reply,
    ports::{Contexts, Inspect, Local, Rules},
    refusal,
};

/// What the caller gets.
#[derive(Debug)]
pub struct Filtered {
    released: Released,
    demanded: Vec<Obligation>,
}

#[derive(Debug)]
enum Released {
    Edited(Edits),
    Listed(Vec<u8>),
    Whole,
}

impl Filtered {
    pub(crate) const VERB: &'static str = "filter";
}

impl Passed<Filtered> {
    /// The reply, with what may not be seen cut out; for [`super::reconsider`], which hands it on.
    pub(super) fn filtered(&self) -> Reply {
        let call = self.arrival().call.clone();
        let body = match (self.unread(), &self.proof().released) {
            (Answer::Foreign(response, era), Released::Edited(edits)) => {
                Body::Foreign(Arc::clone(response), edits.clone(), *era)
            }
            (Answer::Listing(_), Released::Listed(result)) => Body::Listed(result.clone()),
            (Answer::Own(own), Released::Whole) => Body::Own(Arc::clone(own)),
            // Nothing else can be: `filter` chooses by the answer. What could, would say nothing.
            (Answer::Accepted | Answer::Foreign(..) | Answer::Listing(_) | Answer::Own(_), _) => {
                Body::Accepted
            }
        };
        Reply { call, body }
    }

    /// What the permits of the call and of its release demand together.
    #[must_use]
    pub fn demanded(&self) -> &[Obligation] {
        &self.proof().demanded
    }

    /// What is changed in a foreign answer before the caller gets it.
    #[must_use]
    pub fn released(&self) -> Option<&Edits> {
        match &self.proof().released {
            Released::Edited(edits) => Some(edits),
            Released::Listed(_) | Released::Whole => None,
        }
    }
}

/// Cuts the answer down to what the caller may see.
pub(crate) fn filter(
    engines: &(impl Contexts + Inspect + Local + Rules),
    call: Ready<Filtered>,
) -> Result<Passed<Filtered>, Refusal> {
    let (released, demanded) = match call.unread() {
        Answer::Listing(listing) => (Released::Listed(trim(engines, &call, listing)?), Vec::new()),
        Answer::Foreign(..) => {
            let (edits, demanded) = release(engines, &call)?;
            (Released::Edited(edits), demanded)
        }
        Answer::Accepted | Answer::Own(_) => (Released::Whole, Vec::new()),
    };
    Ok(Passed::pass(call, Filtered { released, demanded }))
}

/// A list has what some call could be permitted for, and nothing else; a page of it at a time.
fn trim(
    engines: &(impl Contexts + Local + Rules),
    call: &Ready<Filtered>,
    listing: &Listing,
) -> Result<Vec<u8>, Refusal> {
    let labels = call.context().labels();
    let facts = Facts {
        args: None,
        findings: Default::default(),
        ..crate::decide::facts(call, &labels)
    };
    let subject = &*call.caller().subject;
    // What comes after the page is not judged yet, or only so far that it is known whether there is more.
    let mut seen = listing.entries.chunks(PAGE_ENTRIES_MAX).flat_map(|entries| {
        let resources: Vec<_> = entries.iter().map(|entry| Arc::clone(&entry.resource)).collect();
        let found = engines.could_permit_each(subject, &resources, &facts);
        let shown = entries.iter().enumerate();
        shown.filter_map(move |(at, entry)| (found.get(at) == Some(&Discovery::Listed)).then_some(entry))
    });
    let (mut count, mut bytes, mut last) = (0, 0, None);
    let (mut more, mut told) = (None, Vec::new());
    let list = object(|out| {
        out.array(listing.member, |list| {
            for entry in seen.by_ref() {
                let is_full = count == PAGE_ENTRIES_MAX || bytes + entry.shown.len() > PAGE_BYTES_MAX;
                if let (Some(last), true) = (last, is_full) {
                    more = Some(engines.cursor(call, listing, last));
                    break;
                }
                list.json(&entry.shown);
                told.push(entry);
                (count, bytes, last) = (count + 1, bytes + entry.shown.len(), Some(entry));
            }
        });
        if let Some(more) = &more {
            out.string("nextCursor", more);
        }
    });
    // Before anybody sees it. What is not shown brings nothing.
    engines.browse(call, &told).map_err(Refusal::at::<Filtered>)?;
    Ok(list)
}

/// Policy decides on the answer as it decided on the call: by who asks, and what was found in it.
fn release(
    engines: &(impl Inspect + Rules),
    call: &Ready<Filtered>,
) -> Result<(Edits, Vec<Obligation>), Refusal> {
    let labels = call.context().labels();
    if let Some(misfit) = call
        .answer_findings()
        .iter()
        .find(|finding| finding.kind == FindingKind::Schema)
    {
        let why = format!("{} at `{}`", misfit.note, misfit.location.pointer);
        return Err(Refusal::at::<Filtered>(Objection::new(
            &refusal::ANSWER_INVALID,
            why,
        )));
    }
    let findings = crate::decide::counting(call.answer_findings());
    let facts = Facts {
        findings,
        ..crate::decide::facts(call, &labels)
    };
    let subject = &*call.caller().subject;
    let resource = call.resolution().resource();
    let demanded = match engines
        .decide(subject, Action::Release, resource, &facts)
        .decision
    {
        Decision::Permit(permit) => permit.obligations().to_vec(),
        Decision::Refuse(_)
            if engines
                .observe(subject, Action::Release, resource, &facts)
                .is_some() =>
        {
            Vec::new()
        }
        Decision::Refuse(denial) => {
            let why = denial
                .reason
                .unwrap_or_else(|| "no rule permits its release".to_owned());
            let objection = Objection::new(&refusal::ANSWER_WITHHELD, why);
            return Err(Refusal::at::<Filtered>(objection));
        }
    };
    // Both permits hold for the answer: that of the call and that of its release.
    let obligations = strictest(call.permit().obligations().iter().chain(&demanded));
    let edits = engines
        .redact(call, &obligations)
        .map_err(Refusal::at::<Filtered>)?;
    Ok((edits, obligations))
}
