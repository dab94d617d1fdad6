//! Data-flow control over the messages that pass: what results brought into a context, and what calls carry.

use inspect::{FindingKind, Findings, SUSPECT_MIN, Score};
use pipeline::{Arrival, Ready, decide::Inspected};
use policy::{
    Resource, Source, ToolFacts,
    flow::{Call, Suspicion},
};
use wire::{
    bounds::REQUEST,
    json::{ArrayWriter, Document, Edits, Keys, Kind, Node, ObjectWriter, object},
    jsonrpc,
    mcp::{Beside, Direction, Target, target},
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

/// Which earlier results of its context the arguments of a call were taken from, and what goes to the server with them.
pub(crate) fn sources(call: &Ready<Inspected>, args: Option<Node<'_>>, beside: &[Beside<'_>]) -> Vec<Source> {
    // What a server asks of a client was not put together by the agent.
    if call.arrival().direction == Direction::ToClient {
        return Vec::new();
    }
    let mut sources = call.context().sources(args);
    if !beside.is_empty() {
        // A name is a prefix and what stands behind it: each may be a value.
        let names = |out: &mut ArrayWriter<'_>| {
            for name in beside.iter().filter_map(|one| one.key.as_str()) {
                name.split('/').for_each(|part| out.string(part));
            }
        };
        let all = object(|out| {
            write_beside(beside.iter().copied(), out);
            out.array("names", names);
        });
        match Document::parse(all, Keys::Exact, &REQUEST) {
            Ok(all) => sources.extend(call.context().sources(Some(all.root()))),
            // Names that are too much to be read twice hide no value.
            Err(_) => {
                let each = beside.iter().flat_map(|one| [one.key, one.value]);
                sources.extend(each.flat_map(|node| call.context().sources(Some(node))));
            }
        }
    }
    sources
}

/// What a call says beside its arguments, as it stands in its parameters.
pub(crate) fn write_beside<'b>(beside: impl Iterator<Item = Beside<'b>>, out: &mut ObjectWriter<'_>) {
    let (in_meta, members): (Vec<_>, Vec<_>) = beside.partition(|one| one.in_meta);
    let none = Edits::default();
    members
        .iter()
        .for_each(|one| out.member(one.key, one.value, &none));
    if !in_meta.is_empty() {
        out.object("_meta", |out| {
            in_meta
                .iter()
                .for_each(|one| out.member(one.key, one.value, &none));
        });
    }
}

/// What goes on to a server beside what a client asks of it.
pub(crate) fn beside(arrival: &Arrival) -> Vec<Beside<'_>> {
    match (arrival.message.method(), arrival.message.params()) {
        (Some(method), Some(params)) if arrival.direction == Direction::ToServer => {
            wire::mcp::beside(method, arrival.revision, params).collect()
        }
        (Some(_) | None, _) => Vec::new(),
    }
}

/// A call that is on its way to a server, or back from it, as data-flow control sees it.
pub(crate) struct Seen<'c> {
    facts: Option<&'c ToolFacts>,
    args: Option<Node<'c>>,
}

impl<'c> Seen<'c> {
    pub(crate) fn new(resource: &'c Resource, arrival: &'c Arrival) -> Self {
        let message = &arrival.message;
        let args = match target(message) {
            Ok(Target::Tool { arguments, .. } | Target::Prompt { arguments, .. }) => arguments,
            Ok(_) | Err(_) => message.params(),
        };
        Self {
            facts: resource.facts(),
            args,
        }
    }

    pub(crate) fn call(&self) -> Call<'c> {
        Call {
            server: self.facts.map_or("", |facts| &facts.server),
            tool: self.facts.map_or("", |facts| &facts.name),
            sink: self.facts.map(|facts| facts.sink),
            args: self.args,
        }
    }
}

/// All text of a server's answer.
pub(crate) fn text_of_answer(response: &jsonrpc::Response) -> String {
    let (jsonrpc::Answer::Result(said) | jsonrpc::Answer::Error(said)) = response.answer();
    text_of(said)
}

/// All text of what a server says, a line for each value, with its name where it has one.
pub(super) fn text_of(node: Node<'_>) -> String {
    let mut text = String::new();
    gather(node, "", &mut text);
    text
}

fn gather(node: Node<'_>, name: &str, text: &mut String) {
    match node.kind() {
        Kind::Object => {
            for (key, value) in node.members() {
                let name = key.as_str().unwrap_or_default();
                let is_told = matches!(value.kind(), Kind::Array | Kind::Number | Kind::String);
                if !is_told && !is_word(&name) {
                    text.push_str(&name);
                    text.push('\n');
                }
                gather(value, &name, text);
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

/// Whether a name is one as members have. Others may say anything.
fn is_word(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'$' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use wire::{
        bounds::ANSWER,
        json::{Document, Keys},
    };

    use super::text_of;

    #[test]
    fn names_that_say_something_are_read_and_names_of_members_are_not() {
        let said = r#"{"content":[{"b@c.example":{"x":null}},{"ok":true,"to d@e.example":false}],"n":1}"#;
        let document = Document::parse(said.into(), Keys::Exact, &ANSWER).unwrap();
        let text = text_of(document.root());
        assert_eq!(text, "b@c.example\nto d@e.example\nn: 1\n");
    }
}
