//! Untrusted content marked at the boundary, where the client asks for it. What the marks look like is
//! `inspect`'s business; here is who asks, which marks a context has, and which parts of an answer have words.

use aws_lc_rs::hmac;
use inspect::{Marks, Spotlight};
use pipeline::{Answer, Arrival, Capabilities, Passed, release::Screened};
use policy::{Context, Integrity};
use wire::{
    json::{Edits, Kind, Node, ObjectWriter, Pointer, object},
    jsonrpc,
    mcp::{Direction, meta},
};

use super::{
    Engines,
    choosing::{Choosing, WITHHELD},
    flow::text_of_answer,
    rewrite::text_of,
};

/// Members of a result that say nothing in words of the server's own.
const SILENT: [&str; 5] = ["_meta", "cacheScope", "isError", "resultType", "ttlMs"];

/// What a client wants marked, by `_meta` of the request or by its capabilities; `experimental` is where those
/// of older SDKs have room.
///
/// Whoever asks in a way nobody knows gets marks around the text: more than nothing, and the answer says which.
fn asked(arrival: &Arrival) -> Option<Spotlight> {
    let with_request = arrival.message.params().and_then(meta::of);
    let with_request = with_request.and_then(|meta| meta.get(meta::SPOTLIGHT));
    let said = with_request
        .filter(|said| !said.is_null())
        .or_else(|| declared(&arrival.capabilities))?;
    let mode = said.get("mode").unwrap_or(said);
    let known = Spotlight::ALL.into_iter().find(|way| mode.is_str(way.as_str()));
    Some(known.unwrap_or(Spotlight::Delimit))
}

fn declared(capabilities: &Capabilities) -> Option<Node<'_>> {
    let places = ["extensions", "experimental"];
    places
        .iter()
        .find_map(|place| capabilities.at(&[place, meta::SPOTLIGHT]))
}

/// Tells a client that declared this extension that it is understood.
pub(super) fn write_extension(capabilities: &Capabilities, out: &mut ObjectWriter<'_>) {
    if is_declared(capabilities) {
        out.object(meta::SPOTLIGHT, |out| {
            out.array("modes", |list| {
                Spotlight::ALL.iter().for_each(|way| list.string(way.as_str()))
            });
        });
    }
}

/// Whether a client declared this extension.
pub(super) fn is_declared(capabilities: &Capabilities) -> bool {
    capabilities.at(&["extensions", meta::SPOTLIGHT]).is_some()
}

/// The parts of an answer: texts that can be marked, and what cannot.
#[derive(Debug, Default)]
struct Parts<'d> {
    texts: Vec<Node<'d>>,
    others: Vec<Node<'d>>,
}

impl<'d> Parts<'d> {
    fn of(answer: jsonrpc::Answer<'d>) -> Self {
        let mut parts = Self::default();
        match answer {
            jsonrpc::Answer::Result(result) => parts.result(result),
            jsonrpc::Answer::Error(error) => {
                parts.texts.extend(error.get("message"));
                parts.others.extend(error.get("data"));
            }
        }
        parts
    }

    fn result(&mut self, result: Node<'d>) {
        for (key, value) in result.members() {
            match key.as_str().unwrap_or_default().as_ref() {
                "content" | "contents" => self.blocks(value),
                "messages" => value
                    .elements()
                    .filter_map(|message| message.get("content"))
                    .for_each(|content| self.blocks(content)),
                // What a task came to (modern era).
                "result" if value.kind() == Kind::Object => self.result(value),
                "description" if value.kind() == Kind::String => self.texts.push(value),
                name if SILENT.contains(&name) => {}
                _ => self.others.push(value),
            }
        }
    }

    fn blocks(&mut self, content: Node<'d>) {
        match content.kind() {
            Kind::Array => content.elements().for_each(|block| self.block(block)),
            Kind::Bool | Kind::Null | Kind::Number | Kind::Object | Kind::String => self.block(content),
        }
    }

    fn block(&mut self, block: Node<'d>) {
        let words = ["text", "title", "description"];
        let texts = words.iter().filter_map(|name| block.get(name));
        let before = self.texts.len();
        self.texts
            .extend(texts.filter(|text| text.kind() == Kind::String));
        match block.get("resource") {
            Some(embedded) => self.block(embedded),
            None if self.texts.len() == before => self.others.push(block),
            None => {}
        }
    }
}

impl Engines {
    /// The marks of a context: the same in every answer, after a restart and at every replica.
    pub(super) fn marks(&self, context: &Context) -> Marks {
        let digest = hmac::sign(&self.marks_key, context.id().as_bytes());
        let mut secret = [0; 16];
        for (to, from) in secret.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        Marks::new(&secret)
    }

    /// Marks what is untrusted in the answer to whoever asked for it, as it is after all other changes.
    pub(super) fn spotlight(&self, call: &Passed<Screened>, answer: &mut Choosing<'_>) {
        let (Some(how), Answer::Foreign(response, _), Some(server), Direction::ToServer) = (
            asked(call.arrival()),
            call.unread(),
            call.resolution().server(),
            call.arrival().direction,
        ) else {
            return;
        };
        let (labels, ..) = self.brought(call, server, &text_of_answer(response));
        if labels.integrity == Integrity::Trusted {
            return;
        }
        let marks = self.marks(call.context());
        let Parts { texts, mut others } = Parts::of(response.answer());
        let mut told = String::new();
        for node in texts {
            if answer.edits.touches(node) {
                continue;
            }
            let now = answer.texts.get(&node.place()).cloned();
            let now = now.unwrap_or_else(|| text_of(node).into_owned());
            if now == WITHHELD {
                continue;
            }
            let marked = marks.mark(&now, how);
            let said = answer.said;
            let at = || Pointer::to(said, node).unwrap_or_default();
            if marked.forged > 0 {
                answer.report.add(at, "neutralise", "forged mark");
            }
            answer.report.add(at, "mark", "untrusted");
            if how == Spotlight::Datamark {
                told.push_str(&marked.text);
                told.push('\n');
            }
            answer.texts.insert(node.place(), marked.text);
        }
        if !told.is_empty() {
            // With another sign between them, words are still what an argument is traced to.
            self.remember_names(call, &told);
        }
        others.retain(|node| !answer.edits.touches(*node));
        for node in &others {
            let at = || Pointer::to(answer.said, *node).unwrap_or_default();
            answer.report.add(at, "leave unmarked", "untrusted");
        }
        say(&marks, how, &mut answer.edits);
    }
}

/// Says which marks there are, so that a client can tell its model.
fn say(marks: &Marks, how: Spotlight, edits: &mut Edits) {
    let said = object(|out| {
        out.string("mode", how.as_str());
        out.string("begin", &marks.begin());
        out.string("end", &marks.end());
        if how == Spotlight::Datamark {
            out.string("blank", &marks.blank().to_string());
        }
    });
    edits.meta(meta::SPOTLIGHT, said);
}
