//! What obligations demand of an answer, done: cut out, masked, disguised, chosen. Every change is said.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use inspect::{Choice, Finding, FindingKind, Like, Others, SUSPECT_MIN, mask, redact, select, select_text};
use pipeline::{Answer, Objection, Passed, refusal, release::Screened};
use policy::Obligation;
use wire::{
    json::{Edits, Kind, Node, Pointer, Writer, object},
    jsonrpc,
    mcp::{Target, meta, target},
};

use super::{
    Engines,
    disguise::{Disguise, Whose},
    flow,
};

/// What stands where only named parts may stand and the text has no parts.
const WITHHELD: &str = "[withheld: only some fields of this answer may be shown, and this text has none]";
/// Changes listed in `_meta`; the rest is counted.
const LISTED_MAX: usize = 64;

/// What is done to findings of a kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    Anonymise,
    Mask,
    Pseudonymise,
    Redact,
}

impl Way {
    fn as_str(self) -> &'static str {
        match self {
            Self::Anonymise => "anonymise",
            Self::Mask => "mask",
            Self::Pseudonymise => "pseudonymise",
            Self::Redact => "redact",
        }
    }
}

/// The obligations that concern the answer's content.
#[derive(Debug, Default)]
struct Orders<'o> {
    ways: BTreeMap<&'o str, Way>,
    fields: Option<&'o BTreeSet<String>>,
    dropped: BTreeSet<&'o str>,
}

impl<'o> Orders<'o> {
    /// From the weakest to the strongest way, so that the strongest stays.
    fn of(obligations: &'o [Obligation]) -> Self {
        let mut orders = Self::default();
        for way in [Way::Pseudonymise, Way::Anonymise, Way::Mask, Way::Redact] {
            for obligation in obligations {
                let kinds = match (way, obligation) {
                    (Way::Anonymise, Obligation::Anonymise(kinds))
                    | (Way::Mask, Obligation::Mask(kinds))
                    | (Way::Pseudonymise, Obligation::Pseudonymise(kinds))
                    | (Way::Redact, Obligation::Redact(kinds)) => kinds,
                    _ => continue,
                };
                orders.ways.extend(kinds.iter().map(|kind| (kind.as_str(), way)));
            }
        }
        for obligation in obligations {
            match obligation {
                // Of two rules' fields the pipeline gives both lists; the later is the release's.
                Obligation::Fields(pointers) => orders.fields = Some(pointers),
                Obligation::Drop(pointers) => orders.dropped.extend(pointers.iter().map(String::as_str)),
                Obligation::Anonymise(_)
                | Obligation::Approve { .. }
                | Obligation::Label(_)
                | Obligation::Limit(_)
                | Obligation::Mask(_)
                | Obligation::Pseudonymise(_)
                | Obligation::Redact(_)
                | Obligation::Reveal(_)
                | Obligation::Review(_)
                | Obligation::StepUp(_) => {}
            }
        }
        orders
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

/// What was changed, for `_meta` and the record.
#[derive(Debug, Default)]
struct Said(Vec<(Pointer, &'static str, Cow<'static, str>)>);

impl Said {
    fn add(&mut self, at: Pointer, did: &'static str, what: impl Into<Cow<'static, str>>) {
        self.0.push((at, did, what.into()));
    }

    fn json(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.array(|list| {
            for (at, did, what) in self.0.iter().take(LISTED_MAX) {
                list.object(|out| {
                    out.string("at", at.as_str());
                    out.string("did", did);
                    out.string("what", what);
                });
            }
            if self.0.len() > LISTED_MAX {
                list.object(|out| {
                    out.integer("more", i128::try_from(self.0.len() - LISTED_MAX).unwrap_or(0))
                });
            }
        });
        writer.into_bytes()
    }

    /// One line for each sort of change.
    fn lines(&self) -> Vec<String> {
        let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for (_, did, what) in &self.0 {
            *counts.entry((did, what.as_ref())).or_default() += 1;
        }
        let line = |((did, what), count): (&(&str, &str), &usize)| format!("{did} {what} {count}");
        counts.iter().map(line).collect()
    }
}

/// A stretch of a value and what comes in its place.
type Change = (std::ops::Range<usize>, String);

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
        let incomplete = call
            .answer_findings()
            .iter()
            .any(|f| f.detector == "uninspectable/too-many-findings");
        if incomplete && !orders.ways.is_empty() {
            let why = "more was found in the answer than can be rewritten";
            return Err(Objection::new(&refusal::OBLIGATION_UNMET, why));
        }
        let mut report = Said::default();
        let mut texts = self.replaced(call, said, &orders, &mut report)?;
        let mut edits = Edits::default();
        for pointers in [
            orders
                .fields
                .map(|f| (Choice::Only, f.iter().map(String::as_str).collect())),
            Some((Choice::Without, orders.dropped.iter().copied().collect())),
        ]
        .into_iter()
        .flatten()
        .filter(|(_, pointers): &(Choice, Vec<&str>)| !pointers.is_empty())
        {
            choose(said, pointers.0, &pointers.1, &mut texts, &mut edits, &mut report);
        }
        for (place, text) in texts {
            if let Some(node) = said.document().at(place).filter(|node| !edits.touches(*node)) {
                put(&mut edits, node, &text);
            }
        }
        if !report.0.is_empty() {
            edits.meta(meta::CHANGED, report.json());
            call.dossier().note(|known| known.changed = report.lines());
        }
        Ok(edits)
    }

    /// The texts of values with findings replaced, by place. What was found once is replaced wherever it
    /// stands, and so is what the call revealed to the tool.
    fn replaced(
        &self,
        call: &Passed<Screened>,
        said: Node<'_>,
        orders: &Orders<'_>,
        report: &mut Said,
    ) -> Result<BTreeMap<u32, String>, Objection> {
        let mut found: BTreeMap<u32, Vec<(&Finding, Way)>> = BTreeMap::new();
        for finding in call.answer_findings() {
            if let Some(way) = orders.way(finding) {
                found
                    .entry(finding.location.place)
                    .or_default()
                    .push((finding, way));
            }
        }
        let mut everywhere: BTreeMap<String, (String, &'static str, String)> = BTreeMap::new();
        for (original, pseudonym) in call.revealed() {
            let kept = (pseudonym.clone(), "disguise-again", "personal".to_owned());
            everywhere.insert(original.clone(), kept);
        }
        let names = self.pseudonyms(call, said, &found)?;
        let mut changes: BTreeMap<u32, Vec<Change>> = BTreeMap::new();
        for (place, findings) in &found {
            let Some(node) = said.document().at(*place) else {
                continue;
            };
            let text = text_of(node);
            for (finding, way) in findings {
                let span = finding.location.span.clone();
                let original = text.get(span.clone()).unwrap_or_default();
                let with = self.replacement(finding, *way, &text, &names);
                report.add(
                    finding.location.pointer.clone(),
                    way.as_str(),
                    finding.detector.clone(),
                );
                if matches!(finding.kind, FindingKind::Personal | FindingKind::Secret) {
                    let kept = (with.clone(), way.as_str(), finding.detector.to_string());
                    everywhere.entry(original.to_owned()).or_insert(kept);
                }
                changes.entry(*place).or_default().push((span, with));
            }
        }
        let others = Others::new(everywhere.keys().map(String::as_str));
        for node in said.walk().chain(keys_of(said)) {
            if !matches!(node.kind(), Kind::Number | Kind::String) {
                continue;
            }
            let text = text_of(node);
            for span in others.iter().flat_map(|others| others.find(&text)) {
                let known = changes.entry(node.place()).or_default();
                let is_new = known
                    .iter()
                    .all(|(other, _)| other.end <= span.start || span.end <= other.start);
                if let Some((with, did, what)) = everywhere.get(text.get(span.clone()).unwrap_or_default())
                    && is_new
                {
                    report.add(Pointer::to(said, node).unwrap_or_default(), did, what.clone());
                    known.push((span, with.clone()));
                }
            }
        }
        changes.retain(|_, list| !list.is_empty());
        let text_at = |place: u32| said.document().at(place).map(text_of).unwrap_or_default();
        Ok(changes
            .into_iter()
            .map(|(place, list)| (place, replace(&text_at(place), list)))
            .collect())
    }

    fn replacement(
        &self,
        finding: &Finding,
        way: Way,
        text: &str,
        names: &BTreeMap<(u32, usize), String>,
    ) -> String {
        let span = &finding.location.span;
        let original = text.get(span.clone()).unwrap_or_default();
        let key = (finding.location.place, span.start);
        match way {
            Way::Redact if finding.kind == FindingKind::Unicode => String::new(),
            Way::Redact => redact(original, [(0..original.len(), finding.detector.as_ref())]),
            Way::Mask => mask(original),
            Way::Anonymise => Disguise::anonym(&self.inspector, &like(finding, text), &self.ambient),
            // There is one for every finding that is to have one; what had none would be cut out.
            Way::Pseudonymise => match names.get(&key) {
                Some(name) => name.clone(),
                None => redact(original, [(0..original.len(), finding.detector.as_ref())]),
            },
        }
    }

    /// A pseudonym for each finding that is to have one, by its place.
    fn pseudonyms(
        &self,
        call: &Passed<Screened>,
        said: Node<'_>,
        found: &BTreeMap<u32, Vec<(&Finding, Way)>>,
    ) -> Result<BTreeMap<(u32, usize), String>, Objection> {
        let texts: BTreeMap<u32, Cow<'_, str>> = found
            .keys()
            .filter_map(|place| Some((*place, text_of(said.document().at(*place)?))))
            .collect();
        let wanted: Vec<&Finding> = found
            .values()
            .flatten()
            .filter(|(_, way)| *way == Way::Pseudonymise)
            .map(|(finding, _)| *finding)
            .collect();
        if wanted.is_empty() {
            return Ok(BTreeMap::new());
        }
        let text_at = |place| texts.get(&place).map(AsRef::as_ref).unwrap_or_default();
        let likes: Vec<Like<'_>> = wanted
            .iter()
            .map(|finding| like(finding, text_at(finding.location.place)))
            .collect();
        let subject = subject(call);
        let whose = Whose {
            tenant: tenant(call),
            subject: subject.as_deref(),
        };
        let names = self
            .disguise
            .of(whose, &likes, &self.inspector, &self.ambient)
            .map_err(|error| {
                Objection::new(
                    &refusal::OBLIGATION_UNMET,
                    format!("no pseudonyms can be kept: {error}"),
                )
            })?;
        // The agent knows the values by these names: they are traced as the values are.
        flow::remember_names(call, &names.join("\n"));
        let places = wanted.iter().map(|f| (f.location.place, f.location.span.start));
        Ok(places.zip(names).collect())
    }
}

/// Whose tenant the call is in; empty where there is but one.
pub(super) fn tenant<'c>(caller: &'c Passed<pipeline::admit::Declared>) -> &'c str {
    let parties = caller.caller().subject.parties();
    parties
        .filter_map(|party| party.tenant.as_deref())
        .next()
        .unwrap_or_default()
}

/// The person the result is about, where the operator said which argument names them.
fn subject(call: &Passed<Screened>) -> Option<String> {
    let server = call.resolution().server()?;
    let item = call.resolution().item()?;
    let pointer = Pointer::parse(&server.server().manifest.tool(item.name()).subject?)?;
    let Ok(Target::Tool { arguments, .. }) = target(&call.arrival().message) else {
        return None;
    };
    let named = pointer.find(arguments?)?;
    Some(
        named
            .as_str()
            .map_or_else(|| named.written().to_owned(), Cow::into_owned),
    )
}

fn like<'l>(finding: &'l Finding, text: &'l str) -> Like<'l> {
    let span = &finding.location.span;
    Like {
        detector: &finding.detector,
        original: text.get(span.clone()).unwrap_or_default(),
        before: text.get(..span.start).unwrap_or_default(),
    }
}

pub(super) fn text_of(node: Node<'_>) -> Cow<'_, str> {
    node.as_str().unwrap_or_else(|| node.written().into())
}

/// The names of members, which may say as much as values.
fn keys_of(root: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    root.walk()
        .filter(|node| node.kind() == Kind::Object)
        .flat_map(|node| node.members().map(|(key, _)| key))
}

/// The text with each stretch replaced; of stretches that overlap, the first.
pub(super) fn replace(text: &str, mut changes: Vec<Change>) -> String {
    changes.sort_by_key(|(span, _)| (span.start, std::cmp::Reverse(span.end)));
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (span, with) in changes {
        if span.end <= at {
            continue;
        }
        if span.start >= at {
            out.push_str(text.get(at..span.start).unwrap_or_default());
            out.push_str(&with);
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

/// Leaves parts out, wherever an answer carries its content.
fn choose(
    said: Node<'_>,
    choice: Choice,
    pointers: &[&str],
    texts: &mut BTreeMap<u32, String>,
    edits: &mut Edits,
    report: &mut Said,
) {
    let did = match choice {
        Choice::Only => "select",
        Choice::Without => "drop",
    };
    if let Some(structured) = said.get("structuredContent") {
        for gone in select(structured, choice, pointers, edits) {
            report.add(gone, did, "field");
        }
    }
    let mut blocks: Vec<Node<'_>> = Vec::new();
    for member in ["content", "contents"] {
        blocks.extend(said.get(member).into_iter().flat_map(Node::elements));
    }
    for message in said.get("messages").into_iter().flat_map(Node::elements) {
        let content = message.get("content");
        blocks.extend(content.filter(|content| content.kind() == Kind::Object));
        blocks.extend(content.into_iter().flat_map(Node::elements));
    }
    for block in blocks {
        let Some(text) = block.get("text") else {
            // An image, a sound, a link, an embedded file: nothing of it is a field.
            report.add(Pointer::to(said, block).unwrap_or_default(), did, "block");
            match block.get("blob") {
                Some(blob) => edits.string(blob, ""),
                None => edits.json(
                    block,
                    object(|out| {
                        out.string("type", "text");
                        out.string("text", WITHHELD);
                    }),
                ),
            }
            continue;
        };
        let now = texts
            .get(&text.place())
            .cloned()
            .unwrap_or_else(|| text_of(text).into_owned());
        let at = Pointer::to(said, text).unwrap_or_default();
        let chosen = select_text(&now, choice, pointers);
        let chosen = chosen.map_or_else(
            || {
                report.add(at.clone(), did, "text");
                WITHHELD.to_owned()
            },
            |(chosen, gone)| {
                gone.iter().for_each(|_| report.add(at.clone(), did, "field"));
                chosen
            },
        );
        texts.insert(text.place(), chosen);
    }
    // An error says what it likes.
    if let Some(message) = said.get("message").filter(|_| said.get("code").is_some()) {
        report.add(Pointer::default().child("message"), did, "text");
        texts.insert(message.place(), WITHHELD.to_owned());
        if let Some(data) = said.get("data") {
            edits.remove(data);
        }
    }
}
