//! Policy, weighed over everything that is known: who may what, what a change grants, what would become of
//! calls that were made. Nothing here decides anything that happens.

use std::{collections::BTreeSet, sync::Arc};

use policy::{
    Action, Confidentiality, Decision, FINDING_KINDS, Facts, Integrity, Labels, Obligation, Permit, Resource,
    Source, Subject, Trust,
    registry::ItemKind,
    rules::{Coverage, Foresight, RuleSet, RuleSource, Unseen},
};
use wire::{
    json::{Document, Keys, Kind, Node, ObjectWriter, object},
    mcp::{ServerName, split_federated},
};

use super::{Args, boundary, count, policy::subject_of};
use crate::{failure::Failure, listen::House};

/// Most newly granted calls that are listed.
const GRANTS_MAX: usize = 1_000;
/// Most calls that are decided to find out what a change grants; what is left then is not excluded.
const DECISIONS_MAX: usize = 1_000_000;
/// A server that no rule and no registry knows.
const ELSEWHERE: &str = "elsewhere";

/// A kind of call: everything about it but arguments, findings and sources.
pub(super) struct Cell {
    pub(super) agent: Option<String>,
    user: Option<String>,
    subject: Subject,
    pub(super) name: String,
    pub(super) action: Action,
    pub(super) resource: Resource,
    purpose: Option<String>,
}

/// What is known of the calls that are foreseen, besides their kind.
struct Circumstances<'a> {
    labels: &'a Labels,
    findings: BTreeSet<&'static str>,
    sources: &'a [Source],
    unseen: Unseen,
}

impl<'a> Circumstances<'a> {
    /// A conversation that has read nothing, and arguments with nothing in them that anybody would find.
    fn plain(labels: &'a Labels) -> Self {
        Self {
            labels,
            findings: BTreeSet::new(),
            sources: &[],
            unseen: Unseen::Arguments,
        }
    }

    /// Whatever, whenever, wherever from.
    fn any(labels: &'a Labels) -> Self {
        Self {
            unseen: Unseen::Circumstances,
            ..Self::plain(labels)
        }
    }
}

/// Who may what in plain circumstances: one row per principal, tool and purpose.
pub(super) fn matrix(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let rules = rules(house, args, "rules")?;
    let none = Labels::none();
    let cells = cells(house);
    Ok(object(|out| {
        out.string("policy", rules.digest());
        out.array("rows", |list| {
            for cell in &cells {
                let says = foresee(house, &rules, cell, Circumstances::plain(&none));
                list.object(|out| {
                    cell.write(out);
                    out.string("verdict", says.as_str());
                });
            }
        });
    }))
}

/// What a change of rules newly grants. For each principal, tool, purpose and labels of the context it is
/// shown for all arguments at once where that is possible, and searched at boundary values where not.
pub(super) fn diff(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let (old, new) = (rules(house, args, "from")?, rules(house, args, "to")?);
    let of = |rules: &RuleSet| -> BTreeSet<String> {
        let texts = rules.rules().map(|(_, _, text)| text.cedar.to_string());
        texts.collect()
    };
    // What the change is about comes first.
    let (was, is) = (of(&old), of(&new));
    let both = was.symmetric_difference(&is).chain(was.intersection(&is));
    let texts: Vec<String> = both.cloned().collect();
    let literals = boundary::literals(&texts);
    let categories: BTreeSet<String> = literals.texts().filter(|text| is_word(text)).collect();
    let all_labels = label_sets(&categories);
    let mut found = Found::default();
    let mut search = Search {
        old: &old,
        new: &new,
        findings: FINDING_KINDS
            .into_iter()
            .filter(|kind| categories.contains(*kind))
            .collect(),
        servers: servers_to_try(house, &texts, &categories),
        left: DECISIONS_MAX,
    };
    for cell in cells(house) {
        if old.concerned(&cell.subject, cell.action, &cell.resource)
            == new.concerned(&cell.subject, cell.action, &cell.resource)
        {
            found.same += 1;
            continue;
        }
        let arguments = boundary::arguments(definition(house, &cell).as_deref(), &literals);
        let mut outcome = Outcome::Nothing;
        for labels in &all_labels {
            if covers(house, (&old, &new), &cell, labels) == Coverage::Proven {
                continue;
            }
            let (was, is) = (
                foresee(house, &old, &cell, Circumstances::any(labels)),
                foresee(house, &new, &cell, Circumstances::any(labels)),
            );
            outcome = outcome.max(search.compare(house, &cell, labels, (was, is), &arguments));
        }
        found.take(cell, outcome);
    }
    Ok(found.write(&old, &new, all_labels.len()))
}

/// What would become of calls of the ledger, whose arguments nobody has kept.
pub(super) fn replay(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let (now, candidate) = (house.engines.rules(), rules(house, args, "rules")?);
    let calls = args.node("calls").into_iter().flat_map(Node::elements);
    Ok(object(|out| {
        out.string("policy", candidate.digest());
        out.array("verdicts", |list| {
            calls.for_each(|call| list.string(replayed(house, &now, &candidate, call)));
        });
    }))
}

fn replayed(house: &House, now: &RuleSet, candidate: &RuleSet, call: Node<'_>) -> &'static str {
    let text = |name: &str| said(call, name);
    let Ok(subject) = subject_of(house, text("agent").as_deref(), text("user").as_deref(), true) else {
        return "unknown";
    };
    let action = text("action").as_deref().and_then(Action::parse);
    let (Some(action), Some(server), Some(item)) = (action, text("server"), text("tool")) else {
        return "unknown";
    };
    let Some(resource) = known(house, &server, &item, action) else {
        return "unknown";
    };
    let same = text("policy").as_deref() == Some(now.digest())
        && now.concerned(&subject, action, &resource) == candidate.concerned(&subject, action, &resource);
    if same {
        return "same";
    }
    let Ok(labels) = labels_of(call.get("labels")) else {
        return "unknown";
    };
    let kinds = list_of(call, "findings");
    let findings = FINDING_KINDS.into_iter();
    let findings = findings.filter(|kind| kinds.iter().any(|found| found == kind));
    let sources: Vec<Source> = list_of(call, "sources")
        .iter()
        .map(|source| source_of(house, source.split_once('/').unwrap_or((source, ""))))
        .collect();
    let circumstances = Circumstances {
        labels: &labels,
        findings: findings.collect(),
        sources: &sources,
        unseen: match call.get("truncated").and_then(Node::as_bool) {
            Some(false) => Unseen::Arguments,
            Some(true) | None => Unseen::Call,
        },
    };
    let cell = Cell {
        agent: None,
        user: None,
        subject,
        name: item,
        action,
        resource,
        purpose: text("purpose"),
    };
    match foresee(house, candidate, &cell, circumstances) {
        Foresight::Refused => "refuse",
        Foresight::Held => "hold",
        Foresight::Depends => "depends",
        Foresight::Permitted => "permit",
    }
}

/// What a change comes to for a kind of call; the worst counts.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Outcome {
    /// Nothing is granted that was not, for any arguments.
    Nothing,
    /// None was found at the boundary values, and it was not shown for all arguments.
    NotExcluded,
    /// Something is, for these arguments.
    Found(String),
    /// Something is, whatever the arguments.
    Proven(&'static str),
}

/// The calls at boundary values, decided by the rules as they were and as they would be.
struct Search<'r> {
    old: &'r RuleSet,
    new: &'r RuleSet,
    /// The kinds of findings that rules ask for.
    findings: Vec<&'static str>,
    /// Servers that arguments may come from, if rules ask; trusted or not.
    servers: Vec<String>,
    /// How many calls may still be decided.
    left: usize,
}

impl Search<'_> {
    fn compare(
        &mut self,
        house: &House,
        cell: &Cell,
        labels: &Labels,
        (was, is): (Foresight, Foresight),
        arguments: &[Document],
    ) -> Outcome {
        match (was, is) {
            (_, Foresight::Refused) => return Outcome::Nothing,
            (Foresight::Refused, Foresight::Permitted) => {
                return Outcome::Proven("refused before, permitted now");
            }
            (Foresight::Held, Foresight::Permitted) => {
                return Outcome::Proven("people were asked, nobody is now");
            }
            _ => {}
        }
        let none = std::iter::once(Vec::new());
        let sources: Vec<Vec<Source>> = none.chain(self.sources().map(|source| vec![source])).collect();
        let scopes = scopes();
        for finding in std::iter::once(None).chain(self.findings.clone().into_iter().map(Some)) {
            for sources in &sources {
                for args in arguments {
                    let Some(left) = self.left.checked_sub(1) else {
                        return Outcome::NotExcluded;
                    };
                    self.left = left;
                    let facts = Facts {
                        args: Some(args.root()),
                        purpose: cell.purpose.as_deref(),
                        task: None,
                        labels,
                        findings: finding.into_iter().collect(),
                        sources,
                        scopes: &scopes,
                        tls: None,
                        now_ms: house.engines.ambient.now_ms(),
                    };
                    let before = self
                        .old
                        .decide(&cell.subject, cell.action, &cell.resource, &facts);
                    let after = self
                        .new
                        .decide(&cell.subject, cell.action, &cell.resource, &facts);
                    if let Some(what) = loosened(&before, &after) {
                        return Outcome::Found(format!("{what}, for example with {}", args.text()));
                    }
                }
            }
        }
        Outcome::NotExcluded
    }

    fn sources(&self) -> impl Iterator<Item = Source> {
        let each = self.servers.iter();
        each.flat_map(|server| {
            [true, false].map(|trusted| Source {
                argument: Some("/0".to_owned()),
                server: server.clone(),
                tool: "elsewhere".to_owned(),
                trusted,
            })
        })
    }
}

/// Where arguments may come from as far as rules can tell: the servers they name, each server of the house when
/// they compare with the tool's own, and one that nobody knows.
fn servers_to_try(house: &House, texts: &[String], words: &BTreeSet<String>) -> Vec<String> {
    if !texts.iter().any(|text| text.contains("sources")) {
        return Vec::new();
    }
    let view = house.engines.keeper.view();
    let known = view.registry.servers().map(|server| server.name.to_string());
    let compared = texts.iter().any(|text| text.contains("resource.server"));
    let named = known.filter(|name| compared || words.contains(name));
    named.chain([ELSEWHERE.to_owned()]).collect()
}

/// In what way a decision grants more than another, if it does.
fn loosened(before: &Decision, after: &Decision) -> Option<String> {
    match (before, after) {
        (_, Decision::Refuse(_)) => None,
        (Decision::Refuse(_), Decision::Permit(permit)) => {
            let word = if asks(permit) { "held" } else { "permitted" };
            Some(format!("refused before, {word} now"))
        }
        (Decision::Permit(before), Decision::Permit(after)) => {
            let lost = before
                .obligations()
                .iter()
                .find(|one| !after.obligations().contains(one))?;
            Some(format!("no longer under {lost:?}"))
        }
    }
}

#[derive(Default)]
struct Found {
    same: usize,
    shown: usize,
    granted: Vec<(Cell, Outcome)>,
    open: Vec<Cell>,
}

impl Found {
    fn take(&mut self, cell: Cell, outcome: Outcome) {
        match outcome {
            Outcome::Nothing => self.shown += 1,
            Outcome::NotExcluded => self.open.push(cell),
            Outcome::Found(_) | Outcome::Proven(_) => self.granted.push((cell, outcome)),
        }
    }

    fn write(&self, old: &RuleSet, new: &RuleSet, labels: usize) -> Vec<u8> {
        object(|out| {
            out.string("from", old.digest());
            out.string("to", new.digest());
            out.string(
                "method",
                "exhaustive over principals, tools, purposes and labels; arguments by \
                 three-valued evaluation, else at boundary values",
            );
            out.integer("label_sets", count(labels));
            out.integer("concerned_by_the_same_rules", count(self.same));
            out.integer("shown_to_grant_nothing", count(self.shown));
            out.array("grants", |list| {
                for (cell, outcome) in self.granted.iter().take(GRANTS_MAX) {
                    list.object(|out| {
                        cell.write(out);
                        match outcome {
                            Outcome::Proven(what) => {
                                out.string("how", "for all arguments");
                                out.string("what", what);
                            }
                            Outcome::Found(what) => {
                                out.string("how", "found at boundary values");
                                out.string("what", what);
                            }
                            Outcome::Nothing | Outcome::NotExcluded => {}
                        }
                    });
                }
            });
            out.array("not_excluded", |list| {
                for cell in self.open.iter().take(GRANTS_MAX) {
                    list.object(|out| cell.write(out));
                }
            });
        })
    }
}

impl Cell {
    fn write(&self, out: &mut ObjectWriter<'_>) {
        for (name, text) in [("agent", &self.agent), ("user", &self.user)] {
            if let Some(text) = text {
                out.string(name, text);
            }
        }
        out.string("action", self.action.as_str());
        out.string("target", &self.name);
        if let Some(purpose) = &self.purpose {
            out.string("purpose", purpose);
        }
    }
}

/// Every kind of call there is: principals, approved tools and prompts, purposes they may declare.
fn cells(house: &House) -> Vec<Cell> {
    let people = &house.engines.people;
    let view = house.engines.keeper.view();
    let mut callers: Vec<(Option<String>, Option<String>, BTreeSet<String>)> = Vec::new();
    for person in people.clients() {
        let name = Some(person.party.name.clone());
        // Who may act for exactly one user always does; others may also act for nobody.
        if person.acts_for.len() != 1 {
            callers.push((name.clone(), None, person.purposes.clone()));
        }
        let each = person.acts_for.iter();
        callers.extend(each.map(|user| (name.clone(), Some(user.clone()), person.purposes.clone())));
    }
    for user in people.users() {
        callers.push((None, Some(user.party.name.clone()), user.purposes.clone()));
    }
    let mut cells = Vec::new();
    for (agent, user, purposes) in callers {
        let Ok(subject) = subject_of(house, agent.as_deref(), user.as_deref(), true) else {
            continue;
        };
        for (kind, action) in [(ItemKind::Tool, Action::Invoke), (ItemKind::Prompt, Action::Get)] {
            for pinned in view.registry.approved(kind, None) {
                for purpose in std::iter::once(None).chain(purposes.iter().map(Some)) {
                    cells.push(Cell {
                        agent: agent.clone(),
                        user: user.clone(),
                        subject: subject.clone(),
                        name: wire::mcp::federated(pinned.server(), pinned.name()),
                        action,
                        resource: pinned.resource().as_ref().clone(),
                        purpose: purpose.cloned(),
                    });
                }
            }
        }
    }
    cells
}

/// What the rules in force say of every kind of call, in plain circumstances.
pub(super) fn foreseen(house: &House) -> Vec<(Cell, Foresight)> {
    let (rules, none) = (house.engines.rules(), Labels::none());
    let each = cells(house).into_iter();
    each.map(|cell| {
        let says = foresee(house, &rules, &cell, Circumstances::plain(&none));
        (cell, says)
    })
    .collect()
}

fn foresee(house: &House, rules: &RuleSet, cell: &Cell, circumstances: Circumstances<'_>) -> Foresight {
    let unseen = circumstances.unseen;
    let scopes = scopes();
    let facts = facts(house, cell, circumstances, &scopes);
    rules.foresee(&cell.subject, cell.action, &cell.resource, &facts, unseen)
}

fn covers(house: &House, (old, new): (&RuleSet, &RuleSet), cell: &Cell, labels: &Labels) -> Coverage {
    let scopes = scopes();
    let facts = facts(house, cell, Circumstances::any(labels), &scopes);
    old.covers(new, &cell.subject, cell.action, &cell.resource, &facts)
}

/// What every token is good for.
fn scopes() -> BTreeSet<String> {
    BTreeSet::from([identity::token::SCOPE.to_owned()])
}

fn facts<'c>(
    house: &House,
    cell: &'c Cell,
    circumstances: Circumstances<'c>,
    scopes: &'c BTreeSet<String>,
) -> Facts<'c> {
    Facts {
        args: None,
        purpose: cell.purpose.as_deref(),
        task: None,
        labels: circumstances.labels,
        findings: circumstances.findings,
        sources: circumstances.sources,
        scopes,
        tls: None,
        now_ms: house.engines.ambient.now_ms(),
    }
}

/// A tool, prompt or resource of a known server, offered or not.
pub(super) fn known(house: &House, server: &str, item: &str, action: Action) -> Option<Resource> {
    let view = house.engines.keeper.view();
    let name = ServerName::parse(server).ok()?;
    let server = view.registry.server(&name)?;
    Some(match action {
        Action::Get => server.resource(ItemKind::Prompt, item),
        Action::Read | Action::Subscribe => {
            let Resource::Tool(facts) = server.resource(ItemKind::Tool, item) else {
                return None;
            };
            Resource::Resource {
                uri: item.to_owned(),
                facts,
            }
        }
        Action::Complete
        | Action::Connect
        | Action::Discover
        | Action::Elicit
        | Action::Generate
        | Action::Invoke
        | Action::Notify
        | Action::Release
        | Action::Roots
        | Action::Sample
        | Action::Task => server.resource(ItemKind::Tool, item),
    })
}

fn definition(house: &House, cell: &Cell) -> Option<Arc<Document>> {
    let (server, item) = split_federated(&cell.name)?;
    let view = house.engines.keeper.view();
    let pinned = view.registry.item(&server, ItemKind::Tool, item).ok()?;
    Some(Arc::clone(pinned.definition().document()))
}

pub(super) fn trusted(house: &House, server: &ServerName) -> bool {
    let view = house.engines.keeper.view();
    let known = view.registry.server(server);
    known.is_some_and(|server| server.manifest.trust == Trust::Trusted)
}

/// Rules that came with the question, or those in force.
pub(super) fn rules(house: &House, args: &Args<'_>, name: &str) -> Result<Arc<RuleSet>, Failure> {
    let Some(given) = args.node(name) else {
        return Ok(house.engines.rules());
    };
    let text = |node: Node<'_>, name: &str| said(node, name).unwrap_or_default();
    let sources: Vec<RuleSource> = given
        .elements()
        .map(|one| RuleSource {
            name: text(one, "name"),
            text: text(one, "text"),
        })
        .collect();
    let parsed = RuleSet::parse(&sources);
    Ok(Arc::new(
        parsed.map_err(|errors| Failure::configuration(errors.to_string()))?,
    ))
}

/// Labels as they are written; what is left out is that of nothing. A word that is none is an error: it would
/// pass for the least.
pub(super) fn labels_of(written: Option<Node<'_>>) -> Result<Labels, String> {
    let Some(written) = written else {
        return Ok(Labels::none());
    };
    if written.kind() != Kind::Object {
        return Err("`labels` holds `integrity`, `confidentiality` and `categories`".to_owned());
    }
    let mut labels = Labels::none();
    for (name, value) in written.members() {
        let name = name.as_str().unwrap_or_default();
        let word = value.as_str().unwrap_or_default();
        let unknown = || format!("`labels`: there is no {name} `{word}`");
        match &*name {
            "integrity" => labels.integrity = Integrity::parse(&word).ok_or_else(unknown)?,
            "confidentiality" => {
                labels.confidentiality = Confidentiality::parse(&word).ok_or_else(unknown)?;
            }
            "categories" => {
                let each = value.elements().map(|one| Some(one.as_str()?.into_owned()));
                let all: Option<BTreeSet<String>> = each.collect();
                let all = all.filter(|_| value.kind() == Kind::Array);
                labels.categories = all.ok_or("`labels`: `categories` is a list of words")?;
            }
            _ => return Err(format!("`labels`: there is no `{name}`")),
        }
    }
    Ok(labels)
}

/// An earlier result that an argument came from; how far it is trusted is what the registry says now.
pub(super) fn source_of(house: &House, (server, tool): (&str, &str)) -> Source {
    Source {
        argument: Some(String::new()),
        trusted: ServerName::parse(server).is_ok_and(|name| trusted(house, &name)),
        server: server.to_owned(),
        tool: tool.to_owned(),
    }
}

pub(super) fn said(node: Node<'_>, name: &str) -> Option<String> {
    Some(node.get(name)?.as_str()?.into_owned())
}

fn list_of(node: Node<'_>, name: &str) -> Vec<String> {
    let elements = node.get(name).into_iter().flat_map(Node::elements);
    elements
        .filter_map(|one| Some(one.as_str()?.into_owned()))
        .collect()
}

/// Every integrity and confidentiality; no category, each that the rules name, and all of them.
fn label_sets(named: &BTreeSet<String>) -> Vec<Labels> {
    let mut categories: Vec<BTreeSet<String>> = vec![BTreeSet::new()];
    categories.extend(named.iter().map(|one| BTreeSet::from([one.clone()])));
    categories.push(named.clone());
    categories.dedup();
    let mut all = Vec::new();
    for integrity in Integrity::ALL {
        for confidentiality in Confidentiality::ALL {
            all.extend(categories.iter().map(|categories| Labels {
                integrity,
                confidentiality,
                categories: categories.clone(),
            }));
        }
    }
    all
}

/// Whether a literal could be the name of a category.
fn is_word(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c == '_' || c == '-')
}

pub(super) fn asks(permit: &Permit) -> bool {
    let mut obligations = permit.obligations().iter();
    obligations.any(Obligation::holds_call)
}

/// Arguments, read; none where the text is no JSON.
pub(super) fn parsed(text: Vec<u8>) -> Option<Document> {
    Document::parse(text, Keys::Exact, &wire::bounds::ANSWER).ok()
}
