//! Leaving parts of an answer out: fields of its content, and whatever stands beside them.

use std::{borrow::Cow, collections::BTreeMap};

use inspect::{Choice, select, select_text};
use wire::{
    json::{Edits, Kind, Node, Pointer, object},
    jsonrpc,
};

use super::{rewrite::text_of, said::Said};

/// What stands where only named parts may stand and the text has no parts.
pub(super) const WITHHELD: &str =
    "[withheld: only some fields of this answer may be shown, and this text has none]";

/// Leaving parts of an answer out.
pub(super) struct Choosing<'a> {
    pub(super) said: Node<'a>,
    /// Texts as they are after what was found in them was replaced, by place.
    pub(super) texts: BTreeMap<u32, String>,
    pub(super) edits: Edits,
    pub(super) report: Said,
}

impl Choosing<'_> {
    /// Leaves parts out wherever an answer carries its content; what has no parts goes as a whole.
    pub(super) fn choose(&mut self, choice: Choice, pointers: &[&str], answer: jsonrpc::Answer<'_>) {
        let did = match choice {
            Choice::Only => "select",
            Choice::Without => "drop",
        };
        let said = self.said;
        for (key, value) in said.members() {
            let name = key.as_str().unwrap_or_default();
            match (answer, name.as_ref()) {
                (jsonrpc::Answer::Result(_), "isError") if value.kind() == Kind::Bool => {}
                (jsonrpc::Answer::Error(_), "code") if value.kind() == Kind::Number => {}
                // Which others there are, is the gateway's to say.
                (jsonrpc::Answer::Result(_), "resultType") if value.is_str("complete") => {}
                (jsonrpc::Answer::Result(_), "structuredContent")
                    if matches!(value.kind(), Kind::Array | Kind::Object) =>
                {
                    let report = &mut self.report;
                    select(value, choice, pointers, &mut self.edits, &mut |gone| {
                        // The name of what went may say as much as what went.
                        let above = gone.split_last().map_or(gone, |(_, above)| above);
                        let at = Pointer::default().child("structuredContent");
                        let at = || above.iter().fold(at, |at, name| at.child(name));
                        report.add(at, did, "field");
                    });
                }
                (jsonrpc::Answer::Result(_), "content" | "contents") => {
                    let form: &[&str] = match name.as_ref() {
                        "content" => &["text", "type"],
                        _ => &["blob", "text", "uri"],
                    };
                    self.blocks(value, form, (choice, pointers), did);
                }
                (jsonrpc::Answer::Result(_), "messages") if value.kind() == Kind::Array => {
                    for message in value.elements() {
                        self.only(message, &["content", "role"], did);
                        if let Some(content) = message.get("content") {
                            self.blocks(content, &["text", "type"], (choice, pointers), did);
                        }
                    }
                }
                // An error says what it likes.
                (jsonrpc::Answer::Error(_), "message") => self.withhold(value, did),
                // Each of its members is written by itself.
                (jsonrpc::Answer::Result(_), "_meta") => {
                    value.members().for_each(|(_, given)| self.edits.remove(given));
                }
                _ => {
                    self.edits.remove(value);
                    self.report.add(Pointer::default, did, "member");
                }
            }
        }
    }

    /// A block of content, or a list of them, of which these members say what it is.
    fn blocks(
        &mut self,
        content: Node<'_>,
        form: &[&str],
        (choice, pointers): (Choice, &[&str]),
        did: &'static str,
    ) {
        if content.kind() != Kind::Array {
            return self.block(content, form, (choice, pointers), did);
        }
        for block in content.elements() {
            self.block(block, form, (choice, pointers), did);
        }
    }

    /// Beside what was chosen from, only what makes a message or a text one stays: all else may say anything.
    fn only(&mut self, around: Node<'_>, form: &[&str], did: &'static str) {
        let said = self.said;
        let at = || Pointer::to(said, around).unwrap_or_default();
        if around.kind() != Kind::Object {
            self.report.add(at, did, "member");
            return self.edits.remove(around);
        }
        for (key, value) in around.members() {
            let name = key.as_str().unwrap_or_default();
            let is_one = match name.as_ref() {
                "type" => value.is_str("text"),
                "role" => value.is_str("assistant") || value.is_str("user"),
                _ => true,
            };
            if !is_one || !form.contains(&name.as_ref()) {
                self.report.add(at, did, "member");
                self.edits.remove(value);
            }
        }
    }

    /// One block of content: a text that is JSON has fields, and nothing else has.
    fn block(
        &mut self,
        block: Node<'_>,
        form: &[&str],
        (choice, pointers): (Choice, &[&str]),
        did: &'static str,
    ) {
        let said = self.said;
        let at = || Pointer::to(said, block).unwrap_or_default();
        let Some(text) = block.get("text").filter(|text| text.kind() == Kind::String) else {
            // An image, a sound, a link, an embedded file.
            self.report.add(at, did, "block");
            match block.get("blob") {
                Some(blob) if form.contains(&"blob") => {
                    self.only(block, form, did);
                    self.edits.string(blob, "");
                }
                Some(_) | None => {
                    let instead = object(|out| {
                        out.string("type", "text");
                        out.string("text", WITHHELD);
                    });
                    self.edits.json(block, instead);
                }
            }
            return;
        };
        let beside: Vec<&str> = form.iter().copied().filter(|name| *name != "blob").collect();
        self.only(block, &beside, did);
        let now = match self.texts.get(&text.place()) {
            Some(now) => Cow::Borrowed(now.as_str()),
            None => text_of(text),
        };
        match select_text(&now, choice, pointers) {
            Some((chosen, gone)) => {
                (0..gone).for_each(|_| self.report.add(at, did, "field"));
                self.texts.insert(text.place(), chosen);
            }
            None => self.withhold(text, did),
        }
    }

    fn withhold(&mut self, text: Node<'_>, did: &'static str) {
        let said = self.said;
        let at = || Pointer::to(said, text).unwrap_or_default();
        self.report.add(at, did, "text");
        self.texts.insert(text.place(), WITHHELD.to_owned());
    }
}
