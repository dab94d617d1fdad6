//! What obligations demand of an answer, done: cut out, masked, disguised, chosen. Every change is said.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, btree_map::Entry as Entered},
    ops::Range,
    sync::Arc,
};

use inspect::{
    ASKED_FOR, Choice, Defang, Effort, FINDINGS_MAX, Finding, FindingKind, Findings, Others, SUSPECT_MIN,
    Strung, plain,
};
use pipeline::{Answer, Entry, Objection, Passed, decide::Approved, refusal, release::Screened};
use policy::{Obligation, rules::strictest};
use wire::{
    bounds::{ANSWER, POINTER_BYTES_MAX},
    json::{Document, Edits, JsonError, Keys, Kind, Node, Pointer, Writer},
    jsonrpc,
    mcp::{Direction, ServerName, meta},
};

use super::{
    Engines,
    apart::keep_apart,
    choosing::Choosing,
    closed::{Closed, keeps_meaning},
    defang::harmless,
    disguise::{Whose, laid_out},
    encoded,
    entries::NAMING,
    said::Said,
    stretches::Stretches,
    told::{self, Between},
    ways::{Way, strung},
};
use crate::{known::concerned, storage::store::StoreError};

/// The obligations that concern the answer's content.
#[derive(Debug, Default)]
pub(super) struct Orders<'o> {
    ways: BTreeMap<&'o str, Way>,
    fields: Option<&'o BTreeSet<String>>,
    dropped: BTreeSet<&'o str>,
    defanged: BTreeSet<Defang>,
}

impl<'o> Orders<'o> {
    /// Of obligations joined to the strictest: at most one way for each kind, and at most one list of fields.
    pub(super) fn of(obligations: &'o [Obligation]) -> Self {
        let mut orders = Self::default();
        for obligation in obligations {
            let (kinds, way) = match obligation {
                Obligation::Anonymise(kinds) => (kinds, Way::Anonymise),
                Obligation::Mask(kinds) => (kinds, Way::Mask),
                Obligation::Pseudonymise(kinds) => (kinds, Way::Pseudonymise),
                Obligation::Redact(kinds) => (kinds, Way::Redact),
                Obligation::Fields(pointers) => {
                    orders.fields = Some(pointers);
                    continue;
                }
                Obligation::Defang(sorts) => {
                    let sorts = sorts.iter().map(String::as_str);
                    orders.defanged.extend(sorts.filter_map(Defang::parse));
                    continue;
                }
                Obligation::Drop(pointers) => {
                    orders.dropped.extend(pointers.iter().map(String::as_str));
                    continue;
                }
                Obligation::Approve { .. }
                | Obligation::Judge(_)
                | Obligation::Label(_)
                | Obligation::Limit(_)
                | Obligation::Reveal(_)
                | Obligation::Review(_)
                | Obligation::StepUp { .. } => continue,
            };
            orders.ways.extend(kinds.iter().map(|kind| (kind.as_str(), way)));
        }
        orders
    }

    /// Whether only some parts may come back.
    pub(super) fn chooses(&self) -> bool {
        self.fields.is_some() || !self.dropped.is_empty()
    }

    /// What is done to a finding; hidden characters go whatever rules say.
    fn way(&self, finding: &Finding) -> Option<Way> {
        if finding.score < SUSPECT_MIN {
            return None;
        }
        let hidden = (finding.kind == FindingKind::Unicode).then_some(Way::Redact);
        self.ways.get(finding.kind.as_str()).copied().or(hidden)
    }
}

/// By its plain form, what comes in the place of a value, what that is called, and what the value is.
type Everywhere = BTreeMap<String, (String, &'static str, Cow<'static, str>)>;

/// Findings by place, and what is done to each.
pub(super) type Found<'f> = BTreeMap<u32, Vec<(&'f Finding, Way)>>;

/// What is rewritten.
#[derive(Clone, Copy)]
pub(super) struct Content<'c> {
    pub(super) said: Node<'c>,
    pub(super) findings: &'c Findings,
    /// Originals that the far side was told, with their pseudonyms.
    pub(super) told: Option<&'c told::Shared>,
    pub(super) whose: Whose<'c>,
    /// What is told where the store keeps no pseudonyms: of what was made something else than of what was not.
    pub(super) unkept: Unkept,
}

/// See [`Content`].
pub(super) type Unkept = fn(&StoreError, &'static refusal::Code, String) -> Objection;

/// A stretch of a value and what comes in its place: borrowed where that is the same in a million places.
type Change<'e> = (Range<usize>, Cow<'e, str>);

impl Engines {
    /// The changes that obligations demand of the answer.
    pub(super) fn rewrite(
        &self,
        call: &Passed<Screened>,
        obligations: &[Obligation],
    ) -> Result<Edits, Objection> {
        let Answer::Foreign(response, _) = call.unread() else {
            return Ok(Edits::default());
        };
        let (jsonrpc::Answer::Result(said) | jsonrpc::Answer::Error(said)) = response.answer();
        let orders = Orders::of(obligations);
        // Rules about release are asked again, of the same tool, when the task is fetched; those of this call are not.
        let is_owed = call.permit().obligations().iter().any(Obligation::holds_answer);
        if is_owed && is_task(said) {
            let why = "the answer is a task, and what it comes to is not judged by this rule";
            return Err(Objection::new(&refusal::OBLIGATION_UNMET, why));
        }
        let mut report = Said::default();
        let subject = subject(call);
        let told = self.told_to(call)?;
        let content = Content {
            said,
            findings: call.answer_findings(),
            told: told.as_ref(),
            whose: Whose {
                tenant: tenant(call),
                subject: subject.as_deref(),
            },
            unkept: StoreError::objection_when_made,
        };
        let (texts, names) = self.replaced(&content, &orders, &mut report)?;
        if !names.is_empty() {
            // The agent knows the values by these names: they are traced as the values are.
            self.remember_names(call, &names.join("\n"));
        }
        let mut choosing = Choosing {
            said,
            texts,
            edits: Edits::default(),
            report,
        };
        // No field at all may be left: then nothing comes back.
        if let Some(fields) = orders.fields {
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            choosing.choose(Choice::Only, &fields, response.answer());
        }
        if !orders.dropped.is_empty() {
            let dropped: Vec<&str> = orders.dropped.iter().copied().collect();
            choosing.choose(Choice::Without, &dropped, response.answer());
        }
        self.spotlight(call, &mut choosing);
        let Choosing {
            texts,
            mut edits,
            report,
            ..
        } = choosing;
        for (place, text) in &texts {
            if let Some(node) = said.document().at(*place).filter(|node| !edits.touches(*node)) {
                put(&mut edits, node, text);
            }
        }
        if !report.is_empty() {
            edits.meta(meta::CHANGED, report.json(said, &texts));
            call.dossier().note(|known| known.changed.extend(report.lines()));
        }
        Ok(edits)
    }

    /// The changes that the permit of a server's message demands, and the calls in whose time it comes.
    pub(super) fn veiled(&self, call: &Passed<Approved>) -> Result<Edits, Objection> {
        let (Some(said), Some(server)) = (call.arrival().message.params(), call.resolution().server_name())
        else {
            return Ok(Edits::default());
        };
        let caller = call.principal().holder();
        let term = self.terms.of(&caller, server.as_str(), self.ambient.steady_ms());
        let obligations = strictest(call.permit().obligations().iter().chain(&term.obligations));
        let orders = Orders::of(&obligations);
        let asks_for_secret = |finding: &Finding| finding.detector == ASKED_FOR;
        if orders.ways.contains_key("secret") && call.findings().iter().any(asks_for_secret) {
            let why = "the form asks for a secret, which cannot be cut out of it";
            return Err(Objection::new(&refusal::OBLIGATION_UNMET, why).showing(why));
        }
        if orders.chooses() && has_words(said) {
            let why = "words by the way have no fields, and only some fields may be shown";
            return Err(Objection::new(&refusal::OBLIGATION_UNMET, why));
        }
        let subject = term.subject().map(str::to_owned);
        let told = self.told_by(call, server, StoreError::objection_or)?;
        self.taken_out(call, &orders, (said, told.as_ref(), subject.as_deref()))
    }

    /// The changes that the permit of a call of a model demands of what it is told. Secrets go whatever rules say, and so
    /// do orders in what tools gave back: `baseline.release` does no less to what a tool answers.
    pub(super) fn told(&self, call: &Passed<Approved>) -> Result<Edits, Objection> {
        let Some(said) = call.arrival().message.params() else {
            return Ok(Edits::default());
        };
        let always = ["injection", "poisoning", "secret", "unicode"].map(str::to_owned);
        let always = Obligation::Redact(Arc::new(always.into()));
        let obligations = strictest(call.permit().obligations().iter().chain([&always]));
        self.taken_out(call, &Orders::of(&obligations), (said, None, None))
    }

    /// What the server that answers was told for this caller. What a client answers a server is for the server.
    fn told_to(&self, call: &Passed<Screened>) -> Result<Option<told::Shared>, Objection> {
        match (call.arrival().direction, call.resolution().server_name()) {
            (Direction::ToServer, Some(server)) => {
                self.told_by(call, server, StoreError::objection_when_made)
            }
            (Direction::ToServer | Direction::ToClient, _) => Ok(None),
        }
    }

    /// What a list tells of servers' resources, with what those were told in it as the caller knows it.
    pub(super) fn as_known(
        &self,
        call: &Passed<pipeline::admit::Declared>,
        entries: Vec<Entry>,
    ) -> Result<Vec<Entry>, Objection> {
        let mut told_by: BTreeMap<String, Option<told::Shared>> = BTreeMap::new();
        let each = entries.into_iter().filter_map(|entry| {
            let server = entry.resource.facts().map(|facts| facts.server.clone());
            let server = server.and_then(|server| ServerName::parse(&server).ok());
            let Some(server) = server else {
                return Some(Ok(entry));
            };
            let told = match told_by.entry(server.as_str().to_owned()) {
                Entered::Occupied(known) => known.get().clone(),
                Entered::Vacant(new) => match self.told_by(call, &server, StoreError::objection_or) {
                    Ok(told) => new.insert(told).clone(),
                    Err(objection) => return Some(Err(objection)),
                },
            };
            match told {
                Some(told) => self.entry_as_known(call, entry, &told).transpose(),
                None => Some(Ok(entry)),
            }
        });
        each.collect()
    }

    /// The same of one entry. None where what names it would be changed: nobody could read it.
    fn entry_as_known(
        &self,
        call: &Passed<pipeline::admit::Declared>,
        entry: Entry,
        told: &told::Shared,
    ) -> Result<Option<Entry>, Objection> {
        let unread = |error: JsonError| {
            let why = format!("what a server lists cannot be read again: {error}");
            Objection::new(&refusal::OBLIGATION_UNMET, why)
        };
        let listed = Document::parse(entry.shown.to_vec(), Keys::Exact, &ANSWER).map_err(unread)?;
        let said = listed.root();
        let content = Content {
            said,
            findings: &Findings::default(),
            told: Some(told),
            whose: Whose {
                tenant: tenant(call),
                subject: None,
            },
            unkept: StoreError::objection_or,
        };
        let texts = match self.replaced(&content, &Orders::default(), &mut Said::default()) {
            Ok((texts, _)) => texts,
            // One entry that cannot be shown is no reason to show none.
            Err(objection) if *objection.code == refusal::OBLIGATION_UNMET => return Ok(None),
            Err(objection) => return Err(objection),
        };
        let names_it = |name: &&str| {
            said.get(name)
                .is_some_and(|node| texts.contains_key(&node.place()))
        };
        if NAMING.iter().any(names_it) {
            return Ok(None);
        }
        let mut writer = Writer::default();
        writer.edited(said, &edited(said, &texts));
        let shown = Arc::from(writer.into_bytes());
        Ok(Some(Entry { shown, ..entry }))
    }

    fn told_by(
        &self,
        call: &Passed<pipeline::admit::Declared>,
        server: &ServerName,
        unkept: Unkept,
    ) -> Result<Option<told::Shared>, Objection> {
        let caller = call.principal().holder();
        let told = self.told.of(&self.disguise, between(call, &caller, server));
        told.map_err(|error| {
            let why = format!("what the server was told cannot be looked up: {error}");
            unkept(&error, &refusal::OBLIGATION_UNMET, why)
        })
    }

    fn taken_out(
        &self,
        call: &Passed<Approved>,
        orders: &Orders<'_>,
        (said, told, subject): (Node<'_>, Option<&told::Shared>, Option<&str>),
    ) -> Result<Edits, Objection> {
        let mut report = Said::default();
        let content = Content {
            said,
            findings: call.findings(),
            told,
            whose: Whose {
                tenant: tenant(call),
                subject,
            },
            unkept: StoreError::objection_or,
        };
        let (texts, _) = self.replaced(&content, orders, &mut report)?;
        call.dossier().note(|known| known.changed = report.lines());
        Ok(edited(said, &texts))
    }

    /// The texts of values with findings replaced, by place, and the pseudonyms among them. What was found
    /// once is replaced wherever it stands, and so is what the call revealed to the tool.
    pub(super) fn replaced(
        &self,
        content: &Content<'_>,
        orders: &Orders<'_>,
        report: &mut Said,
    ) -> Result<(BTreeMap<u32, String>, Vec<String>), Objection> {
        let said = content.said;
        // Nearly every answer.
        if content.findings.is_empty() && content.told.is_none() && orders.defanged.is_empty() {
            return Ok((BTreeMap::new(), Vec::new()));
        }
        if !orders.ways.is_empty() {
            all_listed(content.findings)?;
        }
        let mut found = Found::new();
        let in_base64 = encoded::places(said);
        let mut recoded = BTreeSet::new();
        let closed = Closed::of(said);
        for finding in content.findings.iter() {
            let place = finding.location.place;
            match orders.way(finding) {
                Some(_) if closed.hold(place, &finding.location.span) => {}
                Some(_) if in_base64.contains(&place) => {
                    recoded.insert(place);
                }
                Some(way) => found.entry(place).or_default().push((finding, way)),
                None => {}
            }
        }
        let strung = strung(said, &found);
        let effort = &mut Effort::of_one_content();
        let names = self.pseudonyms((content.whose, content.unkept), (&strung, effort), &found)?;
        let mut texts = self.texts((content, &found), (&strung, effort, &names), &closed, report)?;
        harmless(said, &orders.defanged, &mut texts, report);
        // What stands in base64 is rewritten as the text that it is.
        recoded.extend(texts.keys().filter(|place| in_base64.contains(place)));
        if let Some(told) = content.told {
            recoded.extend(encoded::telling(said, &in_base64, &told::read(told)));
        }
        let (encoded, more) = self.encoded(content, orders, &recoded, report)?;
        texts.extend(encoded);
        keeps_meaning(said, &texts)?;
        keep_apart(said, &mut texts);
        Ok((texts, names.into_values().chain(more).collect()))
    }

    /// The texts of values in which something is replaced, by place.
    fn texts(
        &self,
        (content, found): (&Content<'_>, &Found<'_>),
        (strung, effort, names): (&Strung, &mut Effort, &BTreeMap<(u32, usize), String>),
        closed: &Closed<'_>,
        report: &mut Said,
    ) -> Result<BTreeMap<u32, String>, Objection> {
        let said = content.said;
        let told = content.told.map(told::read);
        let mut everywhere = Everywhere::default();
        let mut changes: BTreeMap<u32, Vec<Change<'_>>> = BTreeMap::new();
        for (place, findings) in found {
            let Some(node) = said.document().at(*place) else {
                continue;
            };
            let text = text_of(node);
            for (finding, way) in findings {
                let span = finding.location.span.clone();
                let written = text.get(span.clone()).unwrap_or_default();
                let original = plain(written);
                let known = told.as_ref().and_then(|told| told.name_of(written));
                let with = match (way, known, everywhere.get(&original)) {
                    (Way::Pseudonymise, Some(name), _) => laid_out(name, written).into_owned(),
                    (Way::Anonymise, _, Some((kept, "anonymise", _))) => kept.clone(),
                    _ => self.replacement((finding, *way), written, (strung, effort), names),
                };
                let at = || finding.location.pointer.clone();
                report.add(at, way.as_str(), finding.detector.clone());
                if matches!(finding.kind, FindingKind::Personal | FindingKind::Secret) {
                    let kept = (with.clone(), way.as_str(), finding.detector.clone());
                    everywhere.entry(original).or_insert(kept);
                }
                changes.entry(*place).or_default().push((span, with.into()));
            }
        }
        elsewhere((said, closed), &everywhere, &mut changes, report)?;
        if let Some(told) = &told {
            let names = |text: &str| {
                let found = told.find(text).into_iter();
                let with = found.map(|(span, name)| (span, name.name.as_str(), "disguise-again", &PERSONAL));
                with.collect()
            };
            in_rest((said, closed), &names, &mut changes, report);
        }
        let text_at = |place: u32| said.document().at(place).map(text_of).unwrap_or_default();
        let texts = changes
            .into_iter()
            .map(|(place, list)| (place, replace(&text_at(place), list)));
        Ok(texts.collect())
    }
}

/// The changes that put these texts in their places.
pub(super) fn edited(said: Node<'_>, texts: &BTreeMap<u32, String>) -> Edits {
    let mut edits = Edits::default();
    for (place, text) in texts {
        if let Some(node) = said.document().at(*place) {
            put(&mut edits, node, text);
        }
    }
    edits
}

/// What is not listed could not be cut out.
fn all_listed(findings: &Findings) -> Result<(), Objection> {
    let is_rest = |finding: &Finding| finding.detector == "uninspectable/too-many-findings";
    if !findings.iter().any(is_rest) {
        return Ok(());
    }
    let why = format!("more than {FINDINGS_MAX} things were found, and what is not listed cannot be cut out");
    let shown = why.clone();
    let objection = Objection::new(&refusal::OBLIGATION_UNMET, why).showing(shown);
    Err(objection.remedied("send less at once, or ask for less: a shorter conversation, fewer rows"))
}

/// Replaces what was found in one place in all the others where it stands.
fn elsewhere<'e>(
    (said, closed): (Node<'_>, &Closed<'_>),
    everywhere: &'e Everywhere,
    changes: &mut BTreeMap<u32, Vec<Change<'e>>>,
    report: &mut Said,
) -> Result<(), Objection> {
    if everywhere.is_empty() {
        return Ok(());
    }
    let others = Others::new(everywhere.keys().map(String::as_str)).map_err(|error| {
        let why = format!("what was found cannot be looked for in the rest of the answer: {error}");
        Objection::new(&refusal::OBLIGATION_UNMET, why)
    })?;
    let names = |text: &str| {
        let known = |span: Range<usize>| {
            let here = text.get(span.clone()).unwrap_or_default();
            let (with, did, what) = everywhere.get(&plain(here))?;
            Some((span, with.as_str(), *did, what))
        };
        others.find(text).into_iter().filter_map(known).collect()
    };
    in_rest((said, closed), &names, changes, report);
    Ok(())
}

/// Where a value stands, what comes in its place, and what that is called.
type Standing<'e> = (Range<usize>, &'e str, &'static str, &'e Cow<'static, str>);

static PERSONAL: Cow<'static, str> = Cow::Borrowed("personal");

/// Replaces what is found in whatever is not changed yet.
fn in_rest<'e>(
    (said, closed): (Node<'_>, &Closed<'_>),
    find: &dyn Fn(&str) -> Vec<Standing<'e>>,
    changes: &mut BTreeMap<u32, Vec<Change<'e>>>,
    report: &mut Said,
) {
    // A value may stand there a million times: what is not listed is counted only.
    let room = report.room();
    let mut listed = Vec::new();
    for node in said.walk().chain(keys_of(said)) {
        if !matches!(node.kind(), Kind::Number | Kind::String) {
            continue;
        }
        let text = text_of(node);
        let known = changes.get(&node.place());
        let known = known.into_iter().flatten();
        let covered = Stretches::of(known.map(|(span, _)| (span.start, span.end)));
        for (span, with, did, what) in find(&text) {
            let here = text.get(span.clone()).unwrap_or_default();
            if covered.hold((span.start, span.end)) || closed.hold(node.place(), &span) {
                continue;
            }
            if listed.len() < room {
                listed.push((node.place(), did, what));
            } else {
                report.count(did, what.clone());
            }
            let changed = (span, laid_out(with, here));
            changes.entry(node.place()).or_default().push(changed);
        }
    }
    let places = listed.iter().map(|(place, ..)| *place);
    let pointers = Pointer::to_each(said, places, POINTER_BYTES_MAX);
    for (place, did, what) in listed {
        let at = || pointers.get(&place).cloned().unwrap_or_default();
        report.add(at, did, what.clone());
    }
}

/// Between whom and which server a call goes.
pub(super) fn between<'b>(
    call: &'b Passed<pipeline::admit::Declared>,
    caller: &'b str,
    server: &'b ServerName,
) -> Between<'b> {
    Between {
        tenant: tenant(call),
        caller,
        server: server.as_str(),
    }
}

/// Whose tenant the call is in; empty where there is but one.
pub(super) fn tenant(caller: &Passed<pipeline::admit::Declared>) -> &str {
    let parties = caller.caller().subject.parties();
    parties
        .filter_map(|party| party.tenant.as_deref())
        .next()
        .unwrap_or_default()
}

/// The person the result is about, where the operator said which argument names them.
pub(super) fn subject(call: &Passed<Approved>) -> Option<String> {
    let declared = concerned::declared(call.resolution(), &call.arrival().message)?;
    Some(declared.as_str().to_owned())
}

pub(super) fn text_of(node: Node<'_>) -> Cow<'_, str> {
    node.as_str().unwrap_or_else(|| node.written().into())
}

/// The names of members, which may say as much as values.
pub(super) fn keys_of(root: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    root.walk()
        .filter(|node| node.kind() == Kind::Object)
        .flat_map(|node| node.members().map(|(key, _)| key))
}

/// The text with each stretch replaced; of stretches that overlap, the first.
pub(super) fn replace<T: AsRef<str>>(text: &str, mut changes: Vec<(Range<usize>, T)>) -> String {
    changes.sort_by_key(|(span, _)| (span.start, std::cmp::Reverse(span.end)));
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (span, with) in changes {
        if span.end <= at {
            continue;
        }
        if span.start >= at {
            out.push_str(text.get(at..span.start).unwrap_or_default());
            out.push_str(with.as_ref());
        }
        at = span.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// A number stays a number where it can.
pub(super) fn put(edits: &mut Edits, node: Node<'_>, text: &str) {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    if node.kind() == Kind::Number && digits {
        edits.json(node, text.as_bytes().to_vec());
    } else {
        edits.string(node, text);
    }
}

/// Whether a message says anything in words; names of requests and levels are none.
fn has_words(said: Node<'_>) -> bool {
    let names = ["progressToken", "requestId", "level"];
    said.members()
        .filter(|(key, _)| !key.as_str().is_some_and(|key| names.contains(&key.as_ref())))
        .any(|(_, value)| value.walk().any(|node| node.kind() == Kind::String) || keys_of(value).count() > 0)
}

/// Whether an answer only says where to come back for the answer.
fn is_task(said: Node<'_>) -> bool {
    let kind = said.get("resultType").and_then(Node::as_str);
    said.get("task").is_some() || kind.as_deref() == Some("task")
}

#[cfg(test)]
mod tests {
    use wire::{
        bounds::ANSWER,
        json::{Document, Keys},
    };

    use super::*;

    /// Regression: what came in the place of a value was copied for each of a million places where it stands.
    #[test]
    fn what_stands_in_many_places_is_replaced_by_one_text() {
        let line = "4111 1111 1111 1111, 4111-1111-1111-1111, ann@x.example. ";
        let said = format!(r#"["{}"]"#, line.repeat(1_000));
        let said = Document::parse(said.into_bytes(), Keys::Exact, &ANSWER).unwrap();
        let mut everywhere = Everywhere::new();
        let names = [
            ("4111 1111 1111 1111", "4929 1234 5678 9012"),
            ("ann@x.example", "P-7Q2XKA"),
        ];
        for (value, name) in names {
            everywhere.insert(plain(value), (name.to_owned(), "pseudonymise", "personal".into()));
        }
        let mut changes = BTreeMap::new();
        let closed = Closed::of(said.root());
        elsewhere(
            (said.root(), &closed),
            &everywhere,
            &mut changes,
            &mut Said::default(),
        )
        .unwrap();
        let changes: Vec<Change<'_>> = changes.into_values().flatten().collect();
        assert_eq!(changes.len(), 3_000);
        let owned = changes.iter().filter(|(_, with)| matches!(with, Cow::Owned(_)));
        let owned: BTreeSet<&str> = owned.map(|(_, with)| with.as_ref()).collect();
        assert_eq!(
            owned,
            ["4929-1234-5678-9012"].into(),
            "only what is laid out anew"
        );
        let text = replace(&line.repeat(1_000), changes);
        let new = "4929 1234 5678 9012, 4929-1234-5678-9012, P-7Q2XKA. ";
        assert_eq!(text, new.repeat(1_000));
    }
}
