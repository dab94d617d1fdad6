//! What cannot be read in a configuration, said to whoever wrote it: which key, what it takes with an example, and what to
//! do. The library's own sentences are for programmers, and know the place but not the key.

use std::borrow::Cow;

use serde_saphyr::{DefaultMessageFormatter, Error, Location, MessageFormatter};

/// Where every key is described.
const SCHEMA: &str = "docs/reference/sallyport.schema.json says what each key takes";

/// The sentences about one text.
pub(super) struct Sentences<'t>(pub(super) &'t str);

impl MessageFormatter for Sentences<'_> {
    fn format_message<'a>(&self, error: &'a Error) -> Cow<'a, str> {
        let said = sentence(error, || key_at(self.0, error.location()?));
        said.map_or_else(|| DefaultMessageFormatter.format_message(error), Cow::Owned)
    }
}

/// Ours, where the library's is not for whoever wrote the text. There are many more that are.
fn sentence(error: &Error, key: impl FnOnce() -> Option<String>) -> Option<String> {
    if let Error::DuplicateMappingKey { key, .. } = error {
        let key = key
            .as_ref()
            .map_or_else(|| "a key".to_owned(), |key| format!("`{key}`"));
        return Some(format!("{key} is there twice; keep one of them"));
    }
    if let Error::Unexpected { expected, .. } = error {
        let (what, example) = takes(expected)?;
        return Some(of(key(), what, example));
    }
    if let Error::InvalidScalar { ty, .. } = error {
        let (what, example) = scalar(ty);
        return Some(of(key(), what, example));
    }
    if let Error::NullIntoString { .. } = error {
        return Some(of(key(), "a text", "\"TEXT\""));
    }
    if let Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } = error {
        let key = named(key());
        return Some(format!(
            "{key} takes {expected}: write that, or take it out; {SCHEMA}"
        ));
    }
    if matches!(error, Error::Message { msg, .. } if msg.contains("untagged enum")) {
        let key = named(key());
        return Some(format!(
            "{key} has none of the forms it takes: write one of them; {SCHEMA}"
        ));
    }
    None
}

/// What takes this kind of node, and an example of it.
fn takes(expected: &str) -> Option<(&'static str, &'static str)> {
    match expected {
        "mapping start" => Some(("keys with values", "{ KEY: VALUE }")),
        "scalar" | "string scalar" => Some(("one value", "\"TEXT\"")),
        "sequence start" => Some(("a list", "[ ONE, OTHER ]")),
        _ => None,
    }
}

fn scalar(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "boolean" => ("`true` or `false`", "true"),
        "floating point" => ("a number", "0.5"),
        kind if kind.starts_with(['i', 'u']) => ("a whole number, without a unit", "600"),
        _ => ("another kind of value", "VALUE"),
    }
}

fn of(key: Option<String>, what: &str, example: &str) -> String {
    let shown = key.as_deref().unwrap_or("KEY");
    let sentence = format!("write it as `{shown}: {example}`; {SCHEMA}");
    format!("{} takes {what}: {sentence}", named(key))
}

fn named(key: Option<String>) -> String {
    key.map_or_else(|| "what stands here".to_owned(), |key| format!("`{key}`"))
}

/// The key whose value, or an element of whose value, stands at a place. None where that cannot be told.
fn key_at(text: &str, at: Location) -> Option<String> {
    let number = usize::try_from(at.line()).ok()?.checked_sub(1)?;
    let column = usize::try_from(at.column()).ok()?.checked_sub(1)?;
    let before: Vec<&str> = text.lines().take(number).collect();
    let head: String = text.lines().nth(number)?.chars().take(column).collect();
    let head = head.trim_end();
    // `KEY: VALUE`, or `KEY: [ ONE, OTHER` with an element that is none.
    let open = head
        .rfind('[')
        .filter(|open| !head.get(*open..).unwrap_or_default().contains(']'));
    let head = open.map_or(head, |open| head.get(..open).unwrap_or_default().trim_end());
    if let Some(key) = key_before(head) {
        return Some(key);
    }
    // On a line of its own, as an element or below its key.
    let only = head.trim_start();
    if !only.is_empty() && only != "-" {
        return None;
    }
    let indent = if only == "-" {
        head.len() - only.len() + 1
    } else {
        column
    };
    let mut above = before.iter().rev().filter(|line| !line.trim().is_empty());
    let found = above.find(|line| {
        let own = line.len() - line.trim_start().len();
        own < indent && line.trim_end().ends_with(':')
    })?;
    key_before(found.trim_end())
}

/// The key at the end of `{ A: B, KEY:`.
fn key_before(head: &str) -> Option<String> {
    let head = head.strip_suffix(':')?;
    let start = head.rfind(['{', ',', '[', ' ', '\t']).map_or(0, |at| at + 1);
    let key = head.get(start..)?.trim_matches(['"', '\'']);
    (!key.is_empty()).then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use crate::config::find::parse;

    /// Regression: `approvals: { expires: 1h }` was answered "invalid u64", and `roles: staff` "expected sequence start".
    #[test]
    fn what_cannot_be_read_is_said_with_its_key_an_example_and_what_to_do() {
        for (text, expected) in [
            (
                "approvals: { expires: 1h }\n",
                "`expires` takes a whole number, without a unit: write it as `expires: 600`",
            ),
            (
                "approvals:\n  # a comment\n  expires: 1h\n",
                "`expires` takes a whole number, without a unit: write it as `expires: 600`",
            ),
            (
                "users:\n  - { name: alice, roles: staff }\n",
                "`roles` takes a list: write it as `roles: [ ONE, OTHER ]`",
            ),
            (
                "users:\n  - name: alice\n    roles:\n      staff\n",
                "`roles` takes a list: write it as `roles: [ ONE, OTHER ]`",
            ),
            (
                "registry: x\n",
                "`registry` takes keys with values: write it as `registry: { KEY: VALUE }`",
            ),
            (
                "hosts: [ a, { b: c } ]\n",
                "`hosts` takes one value: write it as `hosts: \"TEXT\"`",
            ),
            (
                "users:\n  - alice\n",
                "`users` takes keys with values: write it as `users: { KEY: VALUE }`",
            ),
            (
                "mcpServers: { a: { command: a, disabled: perhaps } }\n",
                "`disabled` takes `true` or `false`: write it as `disabled: true`",
            ),
            (
                "mcpServers: { a: { command: a, tools: 7 } }\n",
                "`tools` has none of the forms it takes",
            ),
        ] {
            let said = parse(text).expect_err(text);
            assert!(
                said.contains(expected) && said.contains("line "),
                "{text}: {said}"
            );
            assert!(said.contains("docs/reference/sallyport.schema.json"), "{said}");
        }
    }
}
