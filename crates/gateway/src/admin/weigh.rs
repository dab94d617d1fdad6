//! Policy, weighed over everything that is known: who may what, what a change grants, what would become of
//! calls that were made, and tables of cases.

use std::{collections::BTreeSet, sync::Arc};

use policy::{
    Action, Confidentiality, Decision, FINDING_KINDS, Facts, Integrity, Labels, Obligation, Permit, Resource,
    Source, Subject, Trust,
    registry::ItemKind,
    rules::{Foresight, RuleSet, RuleSource},
};
use wire::{
    json::{Document, Keys, Node, ObjectWriter, object},
    mcp::{ServerName, split_federated},
};

use super::{Args, boundary, count, policy::subject_of};
use crate::{failure::Failure, listen::House};

/// Most newly granted calls that are listed.
const GRANTS_MAX: usize = 1_000;

/// A kind of call: everything about it but arguments, findings and sources.
struct Cell {
    agent: Option<String>,
    user: Option<String>,
    subject: Subject,
    name: String,
    action: Action,
    resource: Resource,
    purpose: Option<String>,
}

/// Who may what: one row per principal, tool and purpose.
pub(super) fn matrix(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let rules = rules(house, args, "rules")?;
    let none = Labels::none();
    let cells = cells(house);
    Ok(object(|out| {
        out.string("policy", rules.digest());
        out.array("rows", |list| {
            for cell in &cells {
                let says = foresee(house, &rules, cell, &none);
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
    let texts: Vec<String> = [&old, &new]
        .iter()
        .flat_map(|rules| rules.rules().map(|(_, _, text)| text.cedar.to_string()))
        .collect();
    let literals = boundary::literals(&texts);
    let categories: BTreeSet<String> = literals.texts().filter(|text| is_word(text)).collect();
    let all_labels = label_sets(&categories);
    let mut found = Found::default();
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
            let (was, is) = (
                foresee(house, &old, &cell, labels),
                foresee(house, &new, &cell, labels),
            );
            outcome = outcome.max(compare(house, &cell, labels, (was, is), (&old, &new), &arguments));
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
    let text = |name: &str| {
        call.get(name)
            .and_then(Node::as_str)
            .map(std::borrow::Cow::into_owned)
    };
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
    let cell = Cell {
        agent: None,
        user: None,
        subject,
        name: item,
        action,
        resource,
        purpose: text("purpose"),
    };
    match foresee(house, candidate, &cell, &labels_of(call.get("labels"))) {
        Foresight::Refused => "refuse",
        Foresight::Held => "hold",
        Foresight::Depends => "depends",
        Foresight::Permitted => "permit",
    }
}

/// A table of cases, each with what is expected.
pub(super) fn test(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let rules = rules(house, args, "rules")?;
    let cases = args.node("cases").into_iter().flat_map(Node::elements);
    let mut told = Vec::new();
    for case in cases {
        told.push(tested(house, &rules, case)?);
    }
    let failed = told.iter().filter(|(_, wrong)| wrong.is_some()).count();
    Ok(object(|out| {
        out.boolean("ok", failed == 0);
        out.integer("cases", count(told.len()));
        out.integer("failed", count(failed));
        out.array("results", |list| {
            for (name, wrong) in &told {
                list.object(|out| {
                    out.string("name", name);
                    out.boolean("ok", wrong.is_none());
                    if let Some(wrong) = wrong {
                        out.string("wrong", wrong);
                    }
                });
            }
        });
    }))
}

fn tested(house: &House, rules: &RuleSet, case: Node<'_>) -> Result<(String, Option<String>), Failure> {
    let text = |name: &str| {
        case.get(name)
            .and_then(Node::as_str)
            .map(std::borrow::Cow::into_owned)
    };
    let name = text("name").unwrap_or_else(|| "a case without a name".to_owned());
    let bad = |what: &str| Failure::configuration(format!("case `{name}`: {what}"));
    let subject = subject_of(house, text("agent").as_deref(), text("user").as_deref(), false)
        .map_err(|failure| bad(&failure.to_string()))?;
    let tool = text("tool").ok_or_else(|| bad("`tool` is missing; write server__tool"))?;
    let (server, item) =
        split_federated(&tool).ok_or_else(|| bad("`tool` is not a full name: server__tool"))?;
    let action = match text("action") {
        None => Action::Invoke,
        Some(word) => Action::parse(&word).ok_or_else(|| bad("there is no such action"))?,
    };
    let resource =
        known(house, server.as_str(), item, action).ok_or_else(|| bad("there is no such server"))?;
    let labels = labels_of(case.get("labels"));
    let list = |name: &str| -> Vec<String> {
        let elements = case.get(name).into_iter().flat_map(Node::elements);
        elements
            .filter_map(|one| Some(one.as_str()?.into_owned()))
            .collect()
    };
    let mut findings = BTreeSet::new();
    for kind in list("findings") {
        let known = FINDING_KINDS.into_iter().find(|known| **known == kind);
        findings.insert(known.ok_or_else(|| bad(&format!("there is no kind of finding `{kind}`")))?);
    }
    let sources: Vec<Source> = list("sources")
        .iter()
        .filter_map(|full| {
            let (server, tool) = split_federated(full)?;
            Some(Source {
                argument: String::new(),
                trusted: trusted(house, &server),
                server: server.to_string(),
                tool: tool.to_owned(),
            })
        })
        .collect();
    let purpose = text("purpose");
    let scopes: BTreeSet<String> = list("scopes")
        .into_iter()
        .chain([identity::token::SCOPE.to_owned()])
        .collect();
    let facts = Facts {
        args: case.get("args").or(Some(house.engines.empty.root())),
        purpose: purpose.as_deref(),
        task: None,
        labels: &labels,
        findings,
        sources: &sources,
        scopes: &scopes,
        tls: None,
        now_ms: house.engines.ambient.now_ms(),
    };
    let decision = rules.decide(&subject, action, &resource, &facts);
    let is = word(&decision);
    let spoke: Vec<String> = match &decision {
        Decision::Permit(permit) => permit.rules().iter().map(ToString::to_string).collect(),
        Decision::Refuse(denial) => denial.rules.iter().map(ToString::to_string).collect(),
    };
    let expected = text("expect").ok_or_else(|| bad("`expect` is missing: permit, refuse or hold"))?;
    if !["permit", "refuse", "hold"].contains(&expected.as_str()) {
        return Err(bad("`expect` is none of permit, refuse and hold"));
    }
    let by = if spoke.is_empty() {
        "no rule".to_owned()
    } else {
        spoke.join(", ")
    };
    let wrong = if is != expected {
        Some(format!("expected {expected}, is {is} by {by}"))
    } else {
        text("rule")
            .filter(|rule| !spoke.contains(rule))
            .map(|rule| format!("{is}, but by {by} and not by {rule}"))
    };
    Ok((name, wrong))
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

fn compare(
    house: &House,
    cell: &Cell,
    labels: &Labels,
    (was, is): (Foresight, Foresight),
    (old, new): (&RuleSet, &RuleSet),
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
    let mut sources = vec![Vec::new()];
    for trusted in [true, false] {
        sources.push(vec![Source {
            argument: "/0".to_owned(),
            server: "elsewhere".to_owned(),
            tool: "elsewhere".to_owned(),
            trusted,
        }]);
    }
    let scopes = BTreeSet::from([identity::token::SCOPE.to_owned()]);
    for finding in std::iter::once(None).chain(FINDING_KINDS.map(Some)) {
        for sources in &sources {
            for args in arguments {
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
                let before = old.decide(&cell.subject, cell.action, &cell.resource, &facts);
                let after = new.decide(&cell.subject, cell.action, &cell.resource, &facts);
                if let Some(what) = loosened(&before, &after) {
                    return Outcome::Found(format!("{what}, for example with {}", args.text()));
                }
            }
        }
    }
    Outcome::NotExcluded
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
        if person.acts_for.is_empty() {
            callers.push((name, None, person.purposes.clone()));
        } else {
            let each = person.acts_for.iter();
            callers.extend(each.map(|user| (name.clone(), Some(user.clone()), person.purposes.clone())));
        }
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

fn foresee(house: &House, rules: &RuleSet, cell: &Cell, labels: &Labels) -> Foresight {
    let scopes = BTreeSet::from([identity::token::SCOPE.to_owned()]);
    let facts = Facts {
        args: None,
        purpose: cell.purpose.as_deref(),
        task: None,
        labels,
        findings: BTreeSet::new(),
        sources: &[],
        scopes: &scopes,
        tls: None,
        now_ms: house.engines.ambient.now_ms(),
    };
    rules.foresee(&cell.subject, cell.action, &cell.resource, &facts)
}

/// A tool, prompt or resource of a known server, offered or not.
fn known(house: &House, server: &str, item: &str, action: Action) -> Option<Resource> {
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
        _ => server.resource(ItemKind::Tool, item),
    })
}

fn definition(house: &House, cell: &Cell) -> Option<Arc<Document>> {
    let (server, item) = split_federated(&cell.name)?;
    let view = house.engines.keeper.view();
    let pinned = view.registry.item(&server, ItemKind::Tool, item).ok()?;
    Some(Arc::clone(pinned.definition().document()))
}

fn trusted(house: &House, server: &ServerName) -> bool {
    let view = house.engines.keeper.view();
    let known = view.registry.server(server);
    known.is_some_and(|server| server.manifest.trust == Trust::Trusted)
}

/// Rules that came with the question, or those in force.
fn rules(house: &House, args: &Args<'_>, name: &str) -> Result<Arc<RuleSet>, Failure> {
    let Some(given) = args.node(name) else {
        return Ok(house.engines.rules());
    };
    let text = |node: Node<'_>, name: &str| {
        node.get(name)
            .and_then(Node::as_str)
            .unwrap_or_default()
            .into_owned()
    };
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

fn labels_of(said: Option<Node<'_>>) -> Labels {
    let text = |name: &str| said.and_then(|said| said.get(name)?.as_str());
    let categories = said.and_then(|said| said.get("categories"));
    Labels {
        integrity: text("integrity")
            .and_then(|word| Integrity::parse(&word))
            .unwrap_or(Integrity::Trusted),
        confidentiality: text("confidentiality")
            .and_then(|word| Confidentiality::parse(&word))
            .unwrap_or_default(),
        categories: categories
            .into_iter()
            .flat_map(Node::elements)
            .filter_map(|one| Some(one.as_str()?.into_owned()))
            .collect(),
    }
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

fn asks(permit: &Permit) -> bool {
    let mut obligations = permit.obligations().iter();
    obligations.any(|one| matches!(one, Obligation::Approve { .. } | Obligation::StepUp(_)))
}

fn word(decision: &Decision) -> &'static str {
    match decision {
        Decision::Permit(permit) if asks(permit) => "hold",
        Decision::Permit(_) => "permit",
        Decision::Refuse(_) => "refuse",
    }
}

/// An empty object of arguments.
pub(super) fn parsed(text: Vec<u8>) -> Option<Document> {
    Document::parse(text, Keys::Exact, &wire::bounds::ANSWER).ok()
}
