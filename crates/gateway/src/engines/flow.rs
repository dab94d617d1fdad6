//! Data-flow control over the messages that pass: what results brought into a context, and what calls carry.

use inspect::{FindingKind, Findings, SUSPECT_MIN, Score};
use pipeline::{Answer, Passed, Ready, decide::Inspected, release::Screened};
use policy::{
    Labels, Resource, Source, ToolFacts,
    flow::{Brought, Call, Suspicion},
};
use wire::{
    json::{Kind, Node},
    jsonrpc,
    mcp::{Direction, Target, target},
};

/// From here a finding makes one wary of what the context does next. Lower than where a finding counts by
/// itself, because being wary interrupts only the calls that data-flow control doubts.
const WARY_MIN: Score = Score::new(0.25);

/// What the detectors' findings in a result mean for the flow of data.
pub(crate) fn suspicion(findings: &Findings) -> Suspicion {
    let worst = findings
        .iter()
        .filter(|finding| matches!(finding.kind, FindingKind::Injection | FindingKind::Poisoning))
        .fold(Score::NONE, |worst, finding| worst.max(finding.score));
    if worst >= SUSPECT_MIN {
        Suspicion::Marked
    } else if worst >= WARY_MIN {
        Suspicion::Slight
    } else {
        Suspicion::None
    }
}

/// Which earlier results of its context the arguments of a call were taken from.
pub(crate) fn sources(call: &Ready<Inspected>, args: Option<Node<'_>>) -> Vec<Source> {
    // What a server asks of a client was not put together by the agent.
    match call.arrival().direction {
        Direction::ToServer => call.context().sources(args),
        Direction::ToClient => Vec::new(),
    }
}

/// Remembers what a call brought into its context, so that later arguments can be traced to it.
pub(crate) fn remember(call: &Passed<Screened>, labels: &Labels, suspicion: Suspicion) {
    let Answer::Foreign(response, _) = call.unread() else {
        return;
    };
    let (jsonrpc::Answer::Result(said) | jsonrpc::Answer::Error(said)) = response.answer();
    remember_text(call, labels, suspicion, &text_of(said));
}

/// Remembers the names under which the asker knows what a call brought.
pub(crate) fn remember_names(call: &Passed<Screened>, names: &str) {
    let facts = facts_of(call.resolution().resource());
    let labels = facts.map_or_else(Labels::none, |facts| facts.labels.clone());
    remember_text(call, &labels, suspicion(call.answer_findings()), names);
}

fn remember_text(call: &Passed<Screened>, labels: &Labels, suspicion: Suspicion, text: &str) {
    if call.arrival().direction != Direction::ToServer {
        return;
    }
    let Some(server) = call.resolution().server() else {
        return;
    };
    let message = &call.arrival().message;
    let args = match target(message) {
        Ok(Target::Tool { arguments, .. } | Target::Prompt { arguments, .. }) => arguments,
        Ok(_) | Err(_) => message.params(),
    };
    let facts = facts_of(call.resolution().resource());
    let asked = Call {
        server: facts.map_or("", |facts| &facts.server),
        tool: facts.map_or("", |facts| &facts.name),
        sink: facts.map(|facts| facts.sink),
        args,
    };
    let brought = Brought {
        text,
        trust: server.server().manifest.trust,
        confidentiality: labels.confidentiality,
        suspicion,
    };
    call.context().remember(&asked, &brought);
}

fn facts_of(resource: &Resource) -> Option<&ToolFacts> {
    match resource {
        Resource::Prompt(facts)
        | Resource::Server(facts)
        | Resource::Tool(facts)
        | Resource::Resource { facts, .. } => Some(facts),
        Resource::Gateway => None,
    }
}

/// All text of an answer, a line for each value, with its name where it has one.
fn text_of(node: Node<'_>) -> String {
    let mut text = String::new();
    gather(node, "", &mut text);
    text
}

fn gather(node: Node<'_>, name: &str, text: &mut String) {
    match node.kind() {
        Kind::Object => {
            for (key, value) in node.members() {
                gather(value, &key.as_str().unwrap_or_default(), text);
            }
        }
        Kind::Array => node.elements().for_each(|element| gather(element, name, text)),
        Kind::String | Kind::Number => {
            if !name.is_empty() {
                text.push_str(name);
                text.push_str(": ");
            }
            match node.as_str() {
                Some(value) => text.push_str(&value),
                None => text.push_str(node.written()),
            }
            text.push('\n');
        }
        Kind::Bool | Kind::Null => {}
    }
}
