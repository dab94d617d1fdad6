//! Reading what is sent and what comes back.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use inspect::{Finding, FindingKind, Findings, Part, Scope, Surface, Texts};
use pipeline::{
    Answer, Arrival, Destination, Entry, Objection, Passed, Ready, Resolution,
    decide::{Approved, Inspected},
    ports::{Inspect, Inspection, Revealed},
    refusal,
    release::Screened,
};
use policy::{
    Obligation, Resource,
    registry::{ItemKind, Pin},
};
use wire::{
    bounds::REQUEST,
    json::{Document, Edits, Keys, Kind, Node, Writer},
    jsonrpc::{self, Response},
    mcp::{Direction, Membership, Method, Target, membership, target},
};

use super::{Engines, contexts, disguise::Uncovered, flow, questions, rewrite};
use crate::{
    known::concerned,
    storage::store::{StoreError, aside},
};

impl Inspect for Engines {
    fn inspect(&self, call: &Ready<Inspected>) -> Inspection {
        // What the gateway answers itself goes nowhere.
        if call.resolution().destination() == Destination::Gateway {
            return Inspection::default();
        }
        apart_if_long(call.arrival().message.document(), || {
            if call.resolution().destination() == Destination::Model {
                self.read_conversation(call)
            } else {
                self.read_arguments(call)
            }
        })
    }

    fn screen(&self, call: &Ready<Screened>) -> Inspection {
        let Answer::Foreign(response, _) = call.unread() else {
            return Inspection::default();
        };
        apart_if_long(response.document(), || self.read_answer(call, response))
    }

    fn reveal(&self, call: &Passed<Approved>) -> Result<Revealed, Objection> {
        let kinds: BTreeSet<&str> = call
            .permit()
            .obligations()
            .iter()
            .filter_map(|obligation| {
                let Obligation::Reveal(kinds) = obligation else {
                    return None;
                };
                Some(kinds.iter())
            })
            .flatten()
            .map(String::as_str)
            .collect();
        let arguments = match target(&call.arrival().message) {
            Ok(Target::Tool { arguments, .. }) => arguments.filter(|_| !kinds.is_empty()),
            Ok(_) | Err(_) => None,
        };
        self.note_kept(call, &kinds)?;
        let (mut revealed, count) = match arguments {
            Some(arguments) => self.uncovered(call, arguments, &kinds)?,
            None => (Revealed::default(), 0),
        };
        // A trace is another one in each call, so people cannot have agreed to it: what they agreed to goes without.
        if call
            .permit()
            .obligations()
            .iter()
            .any(|o| matches!(o, Obligation::Approve { .. }))
        {
            let beside = flow::beside(call.arrival());
            let traces = beside.iter().filter(|one| one.is_trace());
            traces.for_each(|one| revealed.edits.remove(one.value));
        }
        let server = call.resolution().server_name();
        let demands = || call.permit().obligations().iter().filter(|o| o.changes_answer());
        let labels = contexts::labels_besides(call);
        let holds = labels.is_some() || demands().next().is_some() || !revealed.values.is_empty();
        if let Some(server) = server.filter(|_| holds) {
            let caller = call.principal().holder();
            if !revealed.values.is_empty() {
                let between = rewrite::between(call, &caller, server);
                self.told.tell(&self.disguise, between, &revealed.values)?;
            }
            revealed.held = Some(self.terms.agree(
                (&caller, server.as_str()),
                (demands().cloned(), labels.as_ref()),
                rewrite::subject(call),
                &self.ambient,
            ));
        }
        // Only now: a call that may be told nothing was told nothing.
        if count > 0 {
            let line = format!("reveal {count}");
            call.dossier().note(|known| known.revealed.push(line));
        }
        Ok(revealed)
    }

    fn veil(&self, call: &Passed<Approved>) -> Result<Edits, Objection> {
        match call.resolution().destination() {
            Destination::Model => self.told(call),
            Destination::Client | Destination::Gateway | Destination::Upstream => self.asked_of_client(call),
        }
    }

    fn release_entry(
        &self,
        call: &Passed<Screened>,
        entry: &Entry,
        demanded: &dyn Fn(&Findings) -> Option<Vec<Obligation>>,
    ) -> Option<Arc<[u8]>> {
        self.entry_released(call, entry, demanded)
    }

    fn redact(&self, call: &Passed<Screened>, obligations: &[Obligation]) -> Result<Edits, Objection> {
        self.label(call, obligations)?;
        let edits = self.rewrite(call, obligations)?;
        self.note_task(call);
        Ok(edits)
    }
}

/// From this length on, in bytes, a text takes longer to read than handing a thread's other work over does.
const LONG: usize = 64 * 1024;

/// Reads a message. While a long one is read, other calls go on.
fn apart_if_long<T>(message: &Document, read: impl FnOnce() -> T) -> T {
    if message.text().len() < LONG {
        return read();
    }
    aside(read)
}

impl Engines {
    /// What arguments, or what a server asks of its client, bring.
    fn read_arguments(&self, call: &Ready<Inspected>) -> Inspection {
        let message = &call.arrival().message;
        let (arguments, beside) = match target(message) {
            Ok(Target::Tool { arguments, .. } | Target::Prompt { arguments, .. }) => {
                (arguments, flow::beside(call.arrival()))
            }
            // The whole is what is asked.
            Ok(_) | Err(_) => (message.params(), Vec::new()),
        };
        let surface = match call.arrival().direction {
            Direction::ToClient => Surface::Message,
            Direction::ToServer => Surface::Argument,
        };
        let sources = flow::sources(call, arguments, &beside);
        let whose = call.principal().holder();
        let scope = scope(call.resolution(), surface, &whose);
        let mut findings = arguments.map_or_else(Findings::default, |arguments| {
            self.inspector.inspect_node(arguments, scope)
        });
        if let Some(params) = message.params() {
            let members = beside.iter().map(|one| (one.key, one.value));
            findings = findings.and(self.inspector.inspect_members(params, members, scope));
        }
        if let (Some(Method::ElicitationCreate), Some(params)) = (message.method(), message.params()) {
            findings = findings.and(inspect::asked_for(params));
        }
        if let (Resolution::Item { item, .. }, Ok(Target::Tool { arguments, .. })) =
            (call.resolution(), target(message))
        {
            let view = self.keeper.view();
            findings = match view.schemas.get(&item.pin()) {
                Some(schemas) => findings.and(match arguments {
                    Some(arguments) => schemas.input.check(arguments),
                    None => schemas.input.check(self.empty.root()),
                }),
                // No compiled schema, no way to say that the arguments fit it.
                None => findings.and(unchecked()),
            };
        }
        let root = arguments.or(message.params());
        let mut people = root.map_or_else(BTreeSet::new, |root| concerned::found(&findings, root));
        people.extend(concerned::declared(call.resolution(), message));
        call.dossier().note(|known| known.subjects = people);
        Inspection {
            findings,
            edits: of_other_revisions(call.arrival()),
            sources,
        }
    }

    /// What has to be changed in what a server says or asks, whatever rules say, and what permits demand.
    fn asked_of_client(&self, call: &Passed<Approved>) -> Result<Edits, Objection> {
        let message = &call.arrival().message;
        let (always, lines) = match (message.method(), message.params()) {
            (Some(method), Some(params)) => questions::held(method, params)?,
            (Some(_) | None, _) => (Edits::default(), Vec::new()),
        };
        let edits = self.veiled(call)?;
        call.dossier().note(|known| known.changed.extend(lines));
        Ok(edits.and(always))
    }

    /// What an answer brings.
    fn read_answer(&self, call: &Ready<Screened>, response: &Response) -> Inspection {
        let (jsonrpc::Answer::Result(said) | jsonrpc::Answer::Error(said)) = response.answer();
        let surface = match call.arrival().direction {
            // What a client answers a server is on its way to the server.
            Direction::ToClient => Surface::Argument,
            Direction::ToServer => Surface::Result,
        };
        let whose = call.principal().holder();
        let mut findings = match call.resolution() {
            resolution @ Resolution::Model { .. } => {
                self.read_completion(scope(resolution, Surface::Message, &whose), said)
            }
            resolution @ (Resolution::Client { .. }
            | Resolution::Gateway
            | Resolution::Item { .. }
            | Resolution::Server { .. }) => self
                .inspector
                .inspect_node(said, scope(resolution, surface, &whose)),
        };
        if let Some((pin, result)) = self.result_of_tool(call, said) {
            let view = self.keeper.view();
            let failed = result.get("isError").and_then(Node::as_bool) == Some(true);
            let output = view.schemas.get(&pin).and_then(|schemas| schemas.output.as_ref());
            if let (Some(output), Some(structured), false) = (output, result.get("structuredContent"), failed)
            {
                findings = findings.and(output.check(structured));
            }
        }
        let people = concerned::found(&findings, said);
        call.dossier().note(|known| known.subjects.extend(people));
        Inspection {
            findings,
            ..Inspection::default()
        }
    }

    /// The tool whose result an answer is, and that result: of a call, or of a task, which is judged by its tool as it
    /// is now.
    fn result_of_tool<'a>(&self, call: &Ready<Screened>, said: Node<'a>) -> Option<(Pin, Node<'a>)> {
        let resource = match call.resolution() {
            Resolution::Item { item, .. } => return Some((item.pin(), said)),
            Resolution::Server { resource, .. } => resource,
            Resolution::Client { .. } | Resolution::Gateway | Resolution::Model { .. } => return None,
        };
        let method = call.arrival().message.method();
        let result = if method == Some(Method::TasksResult) {
            Some(said)
        } else {
            None
        };
        let result = result.or_else(|| said.get("result").filter(|_| method == Some(Method::TasksGet)))?;
        let Resource::Tool(facts) = &**resource else {
            return None;
        };
        let server = call.resolution().server_name();
        let view = self.keeper.view();
        let mut tools = view.registry.approved(ItemKind::Tool, server);
        let tool = tools.find(|tool| tool.name() == facts.name)?;
        Some((tool.pin(), result))
    }

    /// The arguments with what pseudonyms of these kinds stand for, and how many that are.
    fn uncovered(
        &self,
        call: &Passed<Approved>,
        arguments: Node<'_>,
        kinds: &BTreeSet<&str>,
    ) -> Result<(Revealed, usize), Objection> {
        let mut revealed = Revealed::default();
        let values = arguments.walk();
        let values = values.filter(|node| matches!(node.kind(), Kind::Number | Kind::String));
        let values: Vec<_> = values.map(|node| (node, rewrite::text_of(node))).collect();
        let texts: Vec<&str> = values.iter().map(|(_, text)| text.as_ref()).collect();
        let found = self.disguise.uncover(rewrite::tenant(call), &texts);
        let found = found.map_err(not_looked_up)?;
        let (mut count, mut bytes) = (0, texts.iter().map(|text| text.len()).sum::<usize>());
        let mut told: HashSet<(&str, &str)> = HashSet::new();
        for ((node, text), found) in values.iter().zip(&found) {
            let known = found.iter().filter(|one| kinds.contains(&*one.kind));
            let mut changes = Vec::new();
            for Uncovered { span, original, .. } in known {
                let pseudonym = text.get(span.clone()).unwrap_or_default();
                if told.insert((original, pseudonym)) {
                    revealed.values.push((original.to_string(), pseudonym.to_owned()));
                }
                (count, bytes) = (count + 1, bytes + original.len());
                changes.push((span.clone(), Cow::Borrowed(&**original)));
            }
            // A name of eight letters may stand for a key of thousands.
            if bytes > REQUEST.text_bytes_max {
                let why = "what the pseudonyms stand for is more than one message may hold";
                return Err(Objection::new(&refusal::OBLIGATION_UNMET, why).showing(why));
            }
            if !changes.is_empty() {
                rewrite::put(&mut revealed.edits, *node, &rewrite::replace(text, changes));
            }
        }
        if count > 0 {
            self.still_fits(call.resolution(), arguments, &revealed.edits)?;
        }
        Ok((revealed, count))
    }

    /// Says how many pseudonyms go on as they are, since no rule lets this tool have what they stand for. Only what
    /// inspection found is looked up: not every word that goes to any tool.
    fn note_kept(&self, call: &Passed<Approved>, revealed: &BTreeSet<&str>) -> Result<(), Objection> {
        let Some(params) = call.arrival().message.params() else {
            return Ok(());
        };
        let mut texts = Texts::of(params);
        let is_a_value = |kind| matches!(kind, FindingKind::Personal | FindingKind::Secret);
        let values = call.findings().iter().filter(|finding| is_a_value(finding.kind));
        let words: Vec<String> = values
            .filter_map(|finding| texts.found(finding).map(str::to_owned))
            .collect();
        let kinds = self.disguise.kinds(rewrite::tenant(call), &words);
        let kinds = kinds.map_err(not_looked_up)?.into_iter().flatten();
        let kept = kinds.filter(|kind| !revealed.contains(kind.as_str())).count();
        if kept > 0 {
            let line = format!("not revealed {kept}");
            call.dossier().note(|known| known.revealed.push(line));
        }
        Ok(())
    }

    /// The arguments were judged with pseudonyms; what these stand for must fit the approved schema, too.
    fn still_fits(
        &self,
        resolution: &Resolution,
        arguments: Node<'_>,
        edits: &Edits,
    ) -> Result<(), Objection> {
        let mut writer = Writer::default();
        writer.edited(arguments, edits);
        let view = self.keeper.view();
        let schemas = resolution.item().and_then(|item| view.schemas.get(&item.pin()));
        let document = Document::parse(writer.into_bytes(), Keys::Exact, &REQUEST);
        match (schemas, document) {
            (Some(schemas), Ok(document)) if schemas.input.check(document.root()).is_empty() => Ok(()),
            _ => {
                let why = "what a pseudonym stands for does not fit the tool's approved schema";
                Err(Objection::new(&refusal::OBLIGATION_UNMET, why))
            }
        }
    }
}

/// Members of a client's parameters that another revision has, and this one has not: left out.
fn of_other_revisions(arrival: &Arrival) -> Edits {
    let mut edits = Edits::default();
    let (Some(method), Some(params)) = (arrival.message.method(), arrival.message.params()) else {
        return edits;
    };
    if arrival.direction == Direction::ToServer {
        for (key, value) in params.members() {
            let name = key.as_str().unwrap_or_default();
            if membership(method, arrival.revision, &name) == Membership::HasElsewhere {
                edits.remove(value);
            }
        }
    }
    edits
}

/// What is inspected of a call, and for whom.
pub(super) fn scope<'n>(resolution: &'n Resolution, surface: Surface, whose: &'n str) -> Scope<'n> {
    Scope {
        surface,
        whose: Some(whose),
        server: resolution.server_name().map(wire::mcp::ServerName::as_str),
        tool: resolution.item().map(policy::registry::Pinned::name),
    }
}

fn not_looked_up(error: StoreError) -> Objection {
    let why = format!("pseudonyms cannot be looked up: {error}");
    error.objection_or(&refusal::OBLIGATION_UNMET, why)
}

fn unchecked() -> Findings {
    let location = inspect::Location {
        pointer: Default::default(),
        part: Part::Value,
        place: 0,
        span: 0..0,
    };
    Findings::new(vec![Finding {
        kind: FindingKind::Schema,
        detector: "schema/missing".into(),
        location,
        score: inspect::Score::CERTAIN,
        note: "the approved schema is not at hand".into(),
    }])
}
