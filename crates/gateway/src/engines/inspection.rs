//! Reading what is sent and what comes back.

use std::collections::{BTreeMap, BTreeSet};

use inspect::{Finding, FindingKind, Findings, Part, Scope, Surface};
use pipeline::{
    Answer, Destination, Objection, Passed, Ready, Resolution,
    decide::Inspected,
    ports::{Inspect, Inspection},
    refusal,
    release::Screened,
};
use policy::Obligation;
use wire::{
    json::{Edits, Kind, Node},
    jsonrpc,
    mcp::{Direction, Target, target},
};

use super::{Engines, flow};

impl Inspect for Engines {
    fn inspect(&self, call: &Ready<Inspected>) -> Inspection {
        // What the gateway answers itself goes nowhere.
        if call.resolution().destination() == Destination::Gateway {
            return Inspection::default();
        }
        let message = &call.arrival().message;
        let arguments = match target(message) {
            Ok(Target::Tool { arguments, .. } | Target::Prompt { arguments, .. }) => arguments,
            Ok(_) | Err(_) => message.params(),
        };
        let surface = match call.arrival().direction {
            Direction::ToClient => Surface::Message,
            Direction::ToServer => Surface::Argument,
        };
        let sources = flow::sources(call, arguments);
        let mut findings = arguments.map_or_else(Findings::default, |arguments| {
            self.inspector
                .inspect_node(arguments, scope(call.resolution(), surface))
        });
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
        Inspection {
            findings,
            edits: Edits::default(),
            sources,
        }
    }

    fn screen(&self, call: &Ready<Screened>) -> Inspection {
        let Answer::Foreign(response, _) = call.unread() else {
            return Inspection::default();
        };
        let (jsonrpc::Answer::Result(said) | jsonrpc::Answer::Error(said)) = response.answer();
        let surface = match call.arrival().direction {
            // What a client answers a server is on its way to the server.
            Direction::ToClient => Surface::Argument,
            Direction::ToServer => Surface::Result,
        };
        let mut findings = self
            .inspector
            .inspect_node(said, scope(call.resolution(), surface));
        if let Resolution::Item { item, .. } = call.resolution() {
            let view = self.keeper.view();
            let failed = said.get("isError").and_then(Node::as_bool) == Some(true);
            let output = view
                .schemas
                .get(&item.pin())
                .and_then(|schemas| schemas.output.as_ref());
            if let (Some(output), Some(structured), false) = (output, said.get("structuredContent"), failed) {
                findings = findings.and(output.check(structured));
            }
        }
        Inspection {
            findings,
            ..Inspection::default()
        }
    }

    fn redact(&self, call: &Passed<Screened>, obligations: &[Obligation]) -> Result<Edits, Objection> {
        let mut kinds = BTreeSet::new();
        for obligation in obligations {
            match obligation {
                Obligation::Redact(of) => kinds.extend(of.iter().map(String::as_str)),
                Obligation::Approve { .. }
                | Obligation::Label(_)
                | Obligation::Limit(_)
                | Obligation::Review(_)
                | Obligation::StepUp(_) => {}
                Obligation::Fields(_) | Obligation::Pseudonymise(_) => {
                    let why = format!("this build cannot meet {obligation:?}");
                    return Err(Objection::new(&refusal::OBLIGATION_UNMET, why));
                }
            }
        }
        let Answer::Foreign(response, _) = call.unread() else {
            return Ok(Edits::default());
        };
        let (jsonrpc::Answer::Result(said) | jsonrpc::Answer::Error(said)) = response.answer();
        let wanted = call
            .answer_findings()
            .iter()
            .filter(|finding| kinds.contains(finding.kind.as_str()));
        Ok(mask(said, wanted))
    }
}

fn scope(resolution: &Resolution, surface: Surface) -> Scope<'_> {
    Scope {
        surface,
        server: resolution.server_name().map(wire::mcp::ServerName::as_str),
        tool: resolution.item().map(policy::registry::Pinned::name),
    }
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

/// Puts a mark in the place of each finding.
fn mask<'f>(said: Node<'_>, findings: impl Iterator<Item = &'f Finding>) -> Edits {
    let mut by_place: BTreeMap<u32, Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        by_place.entry(finding.location.place).or_default().push(finding);
    }
    let mut edits = Edits::default();
    for (place, mut found) in by_place {
        let Some(node) = said.document().at(place) else {
            continue;
        };
        let text = match node.kind() {
            Kind::String => node.as_str().unwrap_or_default(),
            Kind::Array | Kind::Bool | Kind::Null | Kind::Number | Kind::Object => node.written().into(),
        };
        found.sort_by_key(|finding| finding.location.span.start);
        let mut masked = String::new();
        let mut at = 0;
        for finding in found {
            let span = &finding.location.span;
            if let Some(before) = text.get(at..span.start.max(at)) {
                masked.push_str(before);
            }
            if span.end > at {
                masked.push_str(&format!("[redacted: {}]", finding.detector));
                at = span.end;
            }
        }
        masked.push_str(text.get(at..).unwrap_or_default());
        edits.string(node, &masked);
    }
    edits
}
