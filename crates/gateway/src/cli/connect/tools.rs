//! Tools that the host is not to see (`--ignore-tool`).

use wire::json::{Document, Edits, Kind, Node, Writer};

/// Patterns of names: `*` stands for anything, letters are the same in both cases.
#[derive(Clone, Debug, Default)]
pub(super) struct Ignored(Vec<String>);

impl Ignored {
    pub(super) fn new(patterns: &[String]) -> Self {
        Self(patterns.iter().map(|pattern| pattern.to_lowercase()).collect())
    }

    /// Whether a tool is one of them.
    pub(super) fn has(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.0.iter().any(|pattern| is_like(&name, pattern))
    }

    /// A message without them, on one line.
    pub(super) fn without(&self, message: &Document) -> Vec<u8> {
        let root = message.root();
        let mut edits = Edits::default();
        let tools = root.get("result").and_then(|result| result.get("tools"));
        if let Some(tools) = tools.filter(|tools| tools.kind() == Kind::Array) {
            for tool in tools.elements() {
                if tool
                    .get("name")
                    .and_then(Node::as_str)
                    .is_some_and(|name| self.has(&name))
                {
                    edits.remove(tool);
                }
            }
        }
        let mut writer = Writer::with_capacity(message.text().len());
        writer.edited(root, &edits);
        writer.into_bytes()
    }
}

fn is_like(name: &str, pattern: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return name == pattern;
    };
    let Some(mut left) = name.strip_prefix(start) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        match left.split_once(part) {
            Some((_, after)) => left = after,
            None => return false,
        }
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use wire::{bounds::ANSWER, json::Keys};

    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, yes, no) in [
            ("delete*", "deleteTask", "undelete"),
            ("*account", "GetAccount", "accounts"),
            ("exactTool", "exacttool", "exactTool2"),
            ("a*b*c", "aXbYc", "acb"),
            ("*", "", "-"),
            ("a*a", "aa", "a"),
        ] {
            let ignored = Ignored::new(&[pattern.to_owned()]);
            assert!(ignored.has(yes), "{pattern} {yes}");
            assert!(no == "-" || !ignored.has(no), "{pattern} {no}");
        }
        assert!(!Ignored::default().has("x"));
    }

    #[test]
    fn lists_lose_them_and_nothing_else() {
        let text = r#"{"id":1,"result":{"tools":[{"name":"a"},{"name":"b1"},{"name":"c"}],"next":"b"}}"#;
        let message = Document::parse(text.as_bytes().to_vec(), Keys::Exact, &ANSWER).expect("JSON");
        let left = Ignored::new(&["b*".to_owned()]).without(&message);
        let wanted = r#"{"id":1,"result":{"tools":[{"name":"a"},{"name":"c"}],"next":"b"}}"#;
        assert_eq!(String::from_utf8(left).expect("text"), wanted);
    }
}
