//! Choosing parts of a value by JSON pointers (RFC 6901), with `*` for any member or element.

use std::borrow::Cow;

use wire::{
    bounds::ANSWER,
    json::{Document, Edits, Keys, Kind, Node, Pointer, Writer},
};

/// What pointers are for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Choice {
    /// They name what stays.
    Only,
    /// They name what goes.
    Without,
}

/// How a place stands to the places named.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stands {
    /// It or what holds it is named.
    Within,
    /// Something in it is named.
    Above,
    /// Nothing of it is named.
    Apart,
}

/// Leaves out what is not chosen, and tells of each of the highest places that go: the steps to it. A pointer is not made
/// of each: there may be a million below names of some hundred kilobytes.
pub fn select(
    root: Node<'_>,
    choice: Choice,
    pointers: &[&str],
    edits: &mut Edits,
    gone: &mut dyn FnMut(&[String]),
) {
    let mut selection = Selection {
        choice,
        named: pointers.iter().map(|pointer| tokens(pointer)).collect(),
        edits,
        gone,
    };
    selection.below(root, &mut Vec::new());
}

/// The same for a text that is JSON, with how many places go; none if it is not an object or array.
#[must_use]
pub fn select_text(text: &str, choice: Choice, pointers: &[&str]) -> Option<(String, usize)> {
    let document = Document::parse(text.as_bytes().to_vec(), Keys::Exact, &ANSWER).ok()?;
    let root = document.root();
    if !matches!(root.kind(), Kind::Array | Kind::Object) {
        return None;
    }
    let mut edits = Edits::default();
    let mut gone = 0;
    select(root, choice, pointers, &mut edits, &mut |_| gone += 1);
    let mut writer = Writer::default();
    writer.edited(root, &edits);
    Some((String::from_utf8(writer.into_bytes()).ok()?, gone))
}

/// A walk through a value.
struct Selection<'e> {
    choice: Choice,
    named: Vec<Vec<String>>,
    edits: &'e mut Edits,
    gone: &'e mut dyn FnMut(&[String]),
}

impl Selection<'_> {
    fn below(&mut self, node: Node<'_>, path: &mut Vec<String>) {
        match node.kind() {
            Kind::Object => node.members().for_each(|(key, value)| {
                self.judge(key.as_str().unwrap_or_default().into_owned(), value, path);
            }),
            Kind::Array => {
                let elements = node.elements().enumerate();
                elements.for_each(|(n, value)| self.judge(n.to_string(), value, path));
            }
            Kind::Bool | Kind::Null | Kind::Number | Kind::String => {}
        }
    }

    fn judge(&mut self, name: String, value: Node<'_>, path: &mut Vec<String>) {
        path.push(name);
        let inner = matches!(value.kind(), Kind::Array | Kind::Object);
        match (self.choice, stands(path, &self.named)) {
            (Choice::Only, Stands::Within) | (Choice::Without, Stands::Apart) => {}
            (Choice::Only | Choice::Without, Stands::Above) if inner => self.below(value, path),
            (Choice::Without, Stands::Above) => {}
            (Choice::Only, Stands::Above | Stands::Apart) | (Choice::Without, Stands::Within) => {
                self.edits.remove(value);
                (self.gone)(path);
            }
        }
        path.pop();
    }
}

fn tokens(pointer: &str) -> Vec<String> {
    let pointer = Pointer::parse(pointer).unwrap_or_default();
    pointer.steps().map(Cow::into_owned).collect()
}

fn stands(path: &[String], named: &[Vec<String>]) -> Stands {
    let fits = |a: &String, b: &String| a == "*" || a == b;
    let mut above = false;
    for name in named {
        if name.iter().zip(path).all(|(a, b)| fits(a, b)) {
            if name.len() <= path.len() {
                return Stands::Within;
            }
            above = true;
        }
    }
    if above { Stands::Above } else { Stands::Apart }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_stays() {
        let text =
            r#"{"name":"Ann","birth":{"date":"x","place":"y"},"rows":[{"id":1,"n":2},{"id":3}],"z":1}"#;
        let (chosen, gone) =
            select_text(text, Choice::Only, &["/name", "/birth/date", "/rows/*/id"]).unwrap();
        assert_eq!(
            chosen,
            r#"{"name":"Ann","birth":{"date":"x"},"rows":[{"id":1},{"id":3}]}"#
        );
        assert_eq!(gone, 3);
        let document = Document::parse(text.into(), Keys::Exact, &ANSWER).unwrap();
        let (mut edits, mut told) = (Edits::default(), Vec::new());
        let named = ["/name", "/birth/date", "/rows/*/id"];
        select(document.root(), Choice::Only, &named, &mut edits, &mut |gone| {
            told.push(gone.join("/"))
        });
        assert_eq!(told, ["birth/place", "rows/0/n", "z"]);
        assert_eq!(select_text("just text", Choice::Only, &["/name"]), None);
        assert_eq!(
            select_text(r#"{"birth":"a text"}"#, Choice::Only, &["/birth/date"])
                .unwrap()
                .0,
            "{}"
        );
        assert_eq!(select_text(text, Choice::Only, &[]).unwrap().0, "{}");
    }

    #[test]
    fn what_is_dropped_goes_and_nothing_else() {
        let text = r#"{"name":"Ann","rows":[{"id":1,"n":2},{"id":3}],"a/b":1}"#;
        let (chosen, gone) = select_text(text, Choice::Without, &["/rows/*/n", "/a~1b"]).unwrap();
        assert_eq!(chosen, r#"{"name":"Ann","rows":[{"id":1},{"id":3}]}"#);
        assert_eq!(gone, 2);
    }
}
