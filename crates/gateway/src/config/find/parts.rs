//! What a configuration says of where a gateway keeps its state, where the whole of it cannot be read: the kill switch
//! has to find its gateway while somebody edits the file.
//!
//! It must not guess: a part that makes no sense is named as lost, and whoever needs it has to refuse.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::super::said::Said;

/// The parts that are read by themselves.
const PARTS: [&str; 7] = [
    "data", "records", "registry", "root_key", "state", "users", "witness",
];
/// Those of them that stand on a line of their own.
const LINES: [&str; 2] = ["data", "state"];

/// See the module.
#[derive(Debug)]
pub(crate) struct Parts {
    /// What could be read, and nothing else.
    pub(crate) said: Said,
    /// Which of the parts are there and make no sense, or may be there.
    lost: BTreeSet<&'static str>,
}

impl Parts {
    /// Reads what can be read of a text.
    pub(super) fn of(text: &str) -> Self {
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! { max_nodes: 20_000, max_aliases: 100, max_events: 100_000 },
            duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
        };
        match serde_saphyr::from_str_with_options::<Map<String, Value>>(text, options) {
            Ok(mut tree) => Self::kept(&mut tree, BTreeSet::new()),
            Err(_) => {
                let found = LINES.iter().filter_map(|key| Some((*key, line(text, key)?)));
                let mut tree: Map<String, Value> = found
                    .map(|(key, value)| (key.to_owned(), Value::String(value)))
                    .collect();
                let lost = PARTS.iter().copied().filter(|key| !tree.contains_key(*key));
                let lost = lost.collect();
                Self::kept(&mut tree, lost)
            }
        }
    }

    fn kept(tree: &mut Map<String, Value>, mut lost: BTreeSet<&'static str>) -> Self {
        let mut kept = Map::new();
        for key in PARTS {
            let Some(value) = tree.remove(key) else { continue };
            let alone = Value::Object(Map::from_iter([(key.to_owned(), value.clone())]));
            if serde_json::from_value::<Said>(alone).is_ok() {
                kept.insert(key.to_owned(), value);
            } else {
                lost.insert(key);
            }
        }
        let said = serde_json::from_value(Value::Object(kept)).unwrap_or_default();
        Self { said, lost }
    }

    /// All of it.
    pub(crate) fn whole(said: Said) -> Self {
        Self {
            said,
            lost: BTreeSet::new(),
        }
    }

    /// Nothing of what may be there.
    pub(crate) fn nothing() -> Self {
        Self {
            said: Said::default(),
            lost: PARTS.into_iter().collect(),
        }
    }

    /// Whether this part is not known, though it may be there.
    pub(crate) fn has_lost(&self, part: &str) -> bool {
        self.lost.contains(part)
    }
}

/// What stands behind a key at the beginning of a line, as far as that is one plain or quoted word.
fn line(text: &str, key: &str) -> Option<String> {
    let mut values = text
        .lines()
        .filter_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix(':'));
    let value = values.next_back()?.trim();
    let value = value
        .split_once(" #")
        .map_or(value, |(value, _)| value.trim_end());
    let quoted = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
    let is_plain = !value.is_empty() && !value.contains(['"', '\'', '\\', '{', '[', '&', '*', '|', '>']);
    is_plain.then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn data(text: &str) -> Option<String> {
        let parts = Parts::of(text);
        parts.said.data.map(|path| path.display().to_string())
    }

    #[test]
    fn what_is_fit_is_kept_and_what_is_not_is_named() {
        let parts =
            Parts::of("polcy: {}\ndata: ./state\nusers: [ { nam: alice } ]\nregistry: { approve: 2 }");
        assert_eq!(parts.said.data.as_deref(), Some(Path::new("./state")));
        assert_eq!(parts.said.registry.approve, Some(2));
        assert!(parts.has_lost("users") && !parts.has_lost("registry") && !parts.has_lost("state"));
        assert_eq!(
            data("{\"data\": \"x\", \"polcy\": 1}").as_deref(),
            Some("x"),
            "JSON"
        );
        assert_eq!(data("polcy: {}"), None);
    }

    #[test]
    fn where_there_is_no_tree_a_line_of_its_own_will_do() {
        let broken = "data: \"./st ate\" # here\nagents: [ { name: \nlimits:\n  data: 4\n";
        let parts = Parts::of(broken);
        assert_eq!(parts.said.data.as_deref(), Some(Path::new("./st ate")));
        assert!(parts.has_lost("registry") && parts.has_lost("state") && !parts.has_lost("data"));
        assert_eq!(data("data: *where\nagents: [ {"), None, "an alias is not a place");
        assert_eq!(
            data("agents: [ {\n  data: x\n"),
            None,
            "not at the beginning of a line"
        );
        assert!(Parts::of("agents: [ {\n").has_lost("data"));
    }
}
