//! A whole answer, said as the stream of events its API has: one piece a part, since all of it is there.

use super::Api;
use crate::{
    framing::{Event, write_event},
    json::{Edits, Node, ObjectWriter, Writer, object},
};

/// What each chunk of a chat says again, where it is short.
const AGAIN: [&str; 5] = ["created", "id", "model", "service_tier", "system_fingerprint"];
const AGAIN_BYTES_MAX: usize = 256;

/// Says an answer as a stream. `with_usage`: whether a chat asked for a last chunk with its tokens.
#[must_use]
pub fn stream(api: Api, answer: Node<'_>, with_usage: bool) -> Vec<u8> {
    match api {
        Api::Chat => chat(answer, with_usage),
        // What only counts is asked for no stream.
        Api::Messages | Api::Tokens => messages(answer),
        Api::Responses => responses(answer),
    }
}

/// Says in a stream that there will be no answer: `error` is the object that is said where it is none.
#[must_use]
pub fn failure(api: Api, error: Node<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match api {
        Api::Chat => plain(&mut out, object(|out| out.node("error", error))),
        Api::Messages | Api::Tokens => named(&mut out, "error", |out| out.node("error", error)),
        Api::Responses => named(&mut out, "error", |out| {
            out.members_except(error, &["type"], &Edits::default());
            out.integer("sequence_number", 0);
            out.node("error", error);
        }),
    }
    out
}

fn plain(out: &mut Vec<u8>, data: Vec<u8>) {
    let event = Event {
        data,
        ..Event::default()
    };
    out.extend(write_event(&event));
}

/// An event whose data has its name for `type`.
fn named(out: &mut Vec<u8>, name: &str, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
    let event = Event {
        name: name.to_owned(),
        data: object(|out| {
            out.string("type", name);
            fill(out);
        }),
        ..Event::default()
    };
    out.extend(write_event(&event));
}

fn chat(answer: Node<'_>, with_usage: bool) -> Vec<u8> {
    let mut out = Vec::new();
    // What may be long is said once, however many choices a provider names.
    let chunk = |is_first: bool, fill: &dyn Fn(&mut ObjectWriter<'_>)| {
        object(|out| {
            if is_first {
                out.members_except(answer, &["object", "choices", "usage"], &Edits::default());
            } else {
                for name in AGAIN {
                    let value = answer.get(name);
                    if let Some(value) = value.filter(|value| value.written().len() <= AGAIN_BYTES_MAX) {
                        out.node(name, value);
                    }
                }
            }
            out.string("object", "chat.completion.chunk");
            fill(out);
        })
    };
    for (n, choice) in (0i64..).zip(elements(answer.get("choices"))) {
        let index = choice.get("index");
        let number = |out: &mut ObjectWriter<'_>| match index {
            Some(index) => out.node("index", index),
            None => out.integer("index", n),
        };
        let words = chunk(n == 0, &|out| {
            out.array("choices", |list| {
                list.object(|out| {
                    number(out);
                    out.object("delta", |out| delta(choice.get("message"), out));
                    if let Some(logprobs) = choice.get("logprobs") {
                        out.node("logprobs", logprobs);
                    }
                    out.null("finish_reason");
                });
            });
        });
        plain(&mut out, words);
        let end = chunk(false, &|out| {
            out.array("choices", |list| {
                list.object(|out| {
                    number(out);
                    out.object("delta", |_| {});
                    match choice.get("finish_reason") {
                        Some(reason) => out.node("finish_reason", reason),
                        None => out.string("finish_reason", "stop"),
                    }
                });
            });
        });
        plain(&mut out, end);
    }
    if let Some(usage) = answer.get("usage").filter(|_| with_usage) {
        let last = chunk(false, &|out| {
            out.array("choices", |_| {});
            out.node("usage", usage);
        });
        plain(&mut out, last);
    }
    plain(&mut out, b"[DONE]".to_vec());
    out
}

/// A message as the change it is to nothing: its calls of tools have numbers there.
fn delta(message: Option<Node<'_>>, out: &mut ObjectWriter<'_>) {
    let Some(message) = message else { return };
    out.members_except(message, &["tool_calls"], &Edits::default());
    if let Some(calls) = message.get("tool_calls").filter(|calls| !calls.is_null()) {
        out.array("tool_calls", |list| {
            for (n, call) in (0i64..).zip(calls.elements()) {
                list.object(|out| {
                    out.integer("index", n);
                    out.members_except(call, &["index"], &Edits::default());
                });
            }
        });
    }
}

fn messages(answer: Node<'_>) -> Vec<u8> {
    let none = Edits::default();
    let mut out = Vec::new();
    named(&mut out, "message_start", |out| {
        out.object("message", |out| {
            out.members_except(answer, &["content", "stop_reason", "stop_sequence"], &none);
            out.array("content", |_| {});
            out.null("stop_reason");
            out.null("stop_sequence");
        });
    });
    for (n, block) in (0i64..).zip(elements(answer.get("content"))) {
        let kind = block.get("type");
        let is = |word: &str| kind.is_some_and(|kind| kind.is_str(word));
        let (text, thought, input) = (is("text"), is("thinking"), is("tool_use"));
        named(&mut out, "content_block_start", |out| {
            out.integer("index", n);
            out.object("content_block", |out| {
                let later: &[&str] = match (text, thought, input) {
                    (true, _, _) => &["text", "citations"],
                    (_, true, _) => &["thinking", "signature"],
                    (_, _, true) => &["input"],
                    _ => &[],
                };
                out.members_except(block, later, &none);
                for name in later.iter().filter(|name| **name != "citations") {
                    match *name {
                        "input" => out.object(name, |_| {}),
                        name => out.string(name, ""),
                    }
                }
            });
        });
        let mut delta = |kind: &str, fill: &dyn Fn(&mut ObjectWriter<'_>)| {
            named(&mut out, "content_block_delta", |out| {
                out.integer("index", n);
                out.object("delta", |out| {
                    out.string("type", kind);
                    fill(out);
                });
            });
        };
        if text {
            delta("text_delta", &|out| member(out, block, "text"));
            for citation in elements(block.get("citations")) {
                delta("citations_delta", &|out| out.node("citation", citation));
            }
        } else if thought {
            delta("thinking_delta", &|out| member(out, block, "thinking"));
            delta("signature_delta", &|out| member(out, block, "signature"));
        } else if input {
            let input = block.get("input").map_or_else(|| "{}".to_owned(), compact);
            delta("input_json_delta", &|out| out.string("partial_json", &input));
        }
        named(&mut out, "content_block_stop", |out| out.integer("index", n));
    }
    named(&mut out, "message_delta", |out| {
        out.object("delta", |out| {
            member(out, answer, "stop_reason");
            member(out, answer, "stop_sequence");
        });
        member(out, answer, "usage");
    });
    named(&mut out, "message_stop", |_| {});
    out
}

fn responses(answer: Node<'_>) -> Vec<u8> {
    let none = Edits::default();
    let mut said = Sequence::default();
    for name in ["response.created", "response.in_progress"] {
        said.event(name, |out| {
            out.object("response", |out| {
                out.members_except(answer, &["output", "status", "usage", "completed_at"], &none);
                out.string("status", "in_progress");
                out.array("output", |_| {});
                out.null("usage");
            });
        });
    }
    for (n, item) in (0i64..).zip(elements(answer.get("output"))) {
        said.item(n, item);
    }
    let status = answer.get("status").and_then(Node::as_str);
    let last = match status.as_deref() {
        Some("incomplete") => "response.incomplete",
        Some("failed") => "response.failed",
        Some(_) | None => "response.completed",
    };
    said.event(last, |out| out.node("response", answer));
    said.out
}

/// Events with their numbers.
#[derive(Default)]
struct Sequence {
    out: Vec<u8>,
    next: i64,
}

impl Sequence {
    fn event(&mut self, name: &str, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        let number = self.next;
        self.next += 1;
        named(&mut self.out, name, |out| {
            out.integer("sequence_number", number);
            fill(out);
        });
    }

    fn item(&mut self, n: i64, item: Node<'_>) {
        // What comes by pieces is not there yet when an item begins.
        let later: &[&str] = match kind(item).as_ref() {
            "message" => &["content", "status"],
            "function_call" => &["arguments", "status"],
            "custom_tool_call" => &["input", "status"],
            _ => &[],
        };
        self.event("response.output_item.added", |out| {
            out.integer("output_index", n);
            out.object("item", |out| {
                out.members_except(item, later, &Edits::default());
                for name in later {
                    match *name {
                        "content" => out.array(name, |_| {}),
                        "status" => out.string(name, "in_progress"),
                        name => out.string(name, ""),
                    }
                }
            });
        });
        match kind(item).as_ref() {
            "message" => {
                for (at, part) in (0i64..).zip(elements(item.get("content"))) {
                    self.part(Place { item, n, at }, part);
                }
            }
            "function_call" => self.input(item, n, "response.function_call_arguments", "arguments"),
            "custom_tool_call" => self.input(item, n, "response.custom_tool_call_input", "input"),
            _ => {}
        }
        self.event("response.output_item.done", |out| {
            out.integer("output_index", n);
            out.node("item", item);
        });
    }

    fn part(&mut self, place: Place<'_>, part: Node<'_>) {
        let (name, text) = match kind(part).as_ref() {
            "refusal" => ("response.refusal", "refusal"),
            _ => ("response.output_text", "text"),
        };
        self.event("response.content_part.added", |out| {
            place.write(out);
            out.object("part", |out| {
                out.members_except(part, &[text], &Edits::default());
                out.string(text, "");
            });
        });
        self.event(&format!("{name}.delta"), |out| {
            place.write(out);
            renamed(out, part, text, "delta");
            logprobs(out, name);
        });
        self.event(&format!("{name}.done"), |out| {
            place.write(out);
            member(out, part, text);
            logprobs(out, name);
        });
        self.event("response.content_part.done", |out| {
            place.write(out);
            out.node("part", part);
        });
    }

    fn input(&mut self, item: Node<'_>, n: i64, name: &str, input: &str) {
        let place = |out: &mut ObjectWriter<'_>| {
            renamed(out, item, "id", "item_id");
            out.integer("output_index", n);
        };
        self.event(&format!("{name}.delta"), |out| {
            place(out);
            renamed(out, item, input, "delta");
        });
        self.event(&format!("{name}.done"), |out| {
            place(out);
            member(out, item, "name");
            member(out, item, input);
        });
    }
}

/// A part of a message: where it stands.
#[derive(Clone, Copy)]
struct Place<'m> {
    item: Node<'m>,
    n: i64,
    at: i64,
}

impl Place<'_> {
    fn write(self, out: &mut ObjectWriter<'_>) {
        renamed(out, self.item, "id", "item_id");
        out.integer("output_index", self.n);
        out.integer("content_index", self.at);
    }
}

fn logprobs(out: &mut ObjectWriter<'_>, name: &str) {
    if name == "response.output_text" {
        out.array("logprobs", |_| {});
    }
}

fn elements<'m>(list: Option<Node<'m>>) -> impl Iterator<Item = Node<'m>> {
    list.into_iter().flat_map(Node::elements)
}

fn kind(node: Node<'_>) -> std::borrow::Cow<'_, str> {
    node.get("type").and_then(Node::as_str).unwrap_or_default()
}

fn member(out: &mut ObjectWriter<'_>, of: Node<'_>, name: &str) {
    renamed(out, of, name, name);
}

fn renamed(out: &mut ObjectWriter<'_>, of: Node<'_>, name: &str, new: &str) {
    match of.get(name) {
        Some(value) => out.node(new, value),
        None => out.null(new),
    }
}

fn compact(node: Node<'_>) -> String {
    let mut writer = Writer::default();
    writer.node(node);
    String::from_utf8(writer.into_bytes()).unwrap_or_default()
}
