//! Filter: the answer holds only what this caller may see.

use std::{cell::RefCell, sync::Arc};

use ::inspect::{FindingKind, Findings};
use policy::{
    Action, Decision, Facts, Judging, Obligation,
    rules::{Discovery, strictest},
};
use wire::{
    bounds::{PAGE_BYTES_MAX, PAGE_ENTRIES_MAX},
    json::{Edits, object},
    mcp::Direction,
};

use crate::{
    Answer, Body, Entry, Listing, Objection, Passed, Ready, Refusal, Reply,
    ports::{Browsed, Contexts, Inspect, Local, Rules},
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

/// A list has what some call could be permitted for, and nothing else; a page of it at a time. What nobody approved is read
/// like an answer, since it is one.
fn trim(
    engines: &(impl Contexts + Inspect + Local + Rules),
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
                let Some(browsed) = browsed(engines, call, listing, entry) else {
                    continue;
                };
                let length = browsed.shown.len();
                let is_full = count == PAGE_ENTRIES_MAX || bytes + length > PAGE_BYTES_MAX;
                if let (Some(last), true) = (last, is_full) {
                    more = Some(engines.cursor(call, listing, last));
                    break;
                }
                list.json(&browsed.shown);
                told.push(browsed);
                (count, bytes, last) = (count + 1, bytes + length, Some(entry));
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

/// An entry as it is shown, with the labels that its permits add; none where it may not be.
fn browsed<'e>(
    engines: &(impl Inspect + Rules),
    call: &Ready<Filtered>,
    listing: &Listing,
    entry: &'e Entry,
) -> Option<Browsed<'e>> {
    if listing.is_pinned {
        let shown = Arc::clone(&entry.shown);
        return Some(Browsed {
            entry,
            shown,
            labels: None,
        });
    }
    let labels = RefCell::new(None);
    let demanded = |found: &Findings| {
        let demanded = demanded(engines, call, entry, found)?;
        *labels.borrow_mut() = Obligation::labels(&demanded);
        Some(demanded)
    };
    let shown = engines.release_entry(call, entry, &demanded)?;
    Some(Browsed {
        entry,
        shown,
        labels: labels.into_inner(),
    })
}

/// What the client answers a server leaves, as the arguments of a call do. The question was permitted before anybody knew
/// the answer: whether it may be asked is decided again, with what was found in the answer and read meanwhile.
fn answer_of_client(
    rules: &impl Rules,
    call: &Ready<Filtered>,
    facts: &Facts<'_>,
) -> Result<Option<Vec<Obligation>>, Refusal> {
    if call.arrival().direction == Direction::ToServer {
        return Ok(None);
    }
    let subject = &*call.caller().subject;
    let (action, resource) = (call.action(), call.resolution().resource());
    let withheld = |why: String| {
        let objection = Objection::new(&refusal::ANSWER_WITHHELD, why);
        Err(Refusal::at::<Filtered>(objection))
    };
    let denial = match rules.decide(subject, action, resource, facts).decision {
        Decision::Permit(permit) => {
            let agreed = call.permit().obligations();
            // Nobody can be asked any more.
            let asks =
                |one: &&Obligation| matches!(one, Obligation::Approve { .. } | Obligation::StepUp { .. });
            let mut asked = permit.obligations().iter().filter(asks);
            if asked.all(|one| agreed.contains(one)) {
                return Ok(Some(permit.obligations().to_vec()));
            }
            return withheld("people would have to agree to this answer".to_owned());
        }
        Decision::Refuse(denial) => denial,
    };
    let why = denial
        .reason
        .unwrap_or_else(|| "no rule permits this answer".to_owned());
    if rules.observe(subject, action, resource, facts).is_some() {
        call.dossier().note(|known| known.would_refuse = Some(why));
        return Ok(None);
    }
    call.dossier().note(|known| known.rules.clone_from(&denial.rules));
    withheld(why)
}

/// What permits demand of an entry that this was found in: that of its release, and that of reading what it names. None
/// where no rule permits its release, or where what it demands cannot be met in a list.
fn demanded(
    rules: &impl Rules,
    call: &Ready<Filtered>,
    entry: &Entry,
    found: &Findings,
) -> Option<Vec<Obligation>> {
    let labels = call.context().labels();
    let facts = |findings| Facts {
        args: None,
        findings,
        ..crate::decide::facts(call, &labels)
    };
    let subject = &*call.caller().subject;
    let resource = &*entry.resource;
    let released = facts(crate::decide::counting(found));
    let released = match rules
        .decide(subject, Action::Release, resource, &released)
        .decision
    {
        Decision::Permit(permit) => permit.obligations().to_vec(),
        Decision::Refuse(_) => {
            rules.observe(subject, Action::Release, resource, &released)?;
            Vec::new()
        }
    };
    // Nobody is asked for an opinion on each of thousands. One on what is read is asked for when it is read.
    if Obligation::demands(&released, Judging::Content) {
        return None;
    }
    let reading = match rules
        .decide(subject, Action::Read, resource, &facts(Default::default()))
        .decision
    {
        Decision::Permit(permit) => permit.obligations().to_vec(),
        // It depends on what nobody knows before it is read.
        Decision::Refuse(_) => Vec::new(),
    };
    Some(strictest(released.iter().chain(&reading)))
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
    let demanded = match answer_of_client(engines, call, &facts)? {
        Some(again) => strictest(demanded.iter().chain(&again)),
        None => demanded,
    };
    // Both permits hold for the answer: that of the call and that of its release.
    let obligations = strictest(call.permit().obligations().iter().chain(&demanded));
    let edits = engines
        .redact(call, &obligations)
        .map_err(Refusal::at::<Filtered>)?;
    Ok((edits, obligations))
}
