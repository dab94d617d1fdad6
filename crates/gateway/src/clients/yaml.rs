//! Adding to `sallyport.yaml` without touching what is in it: text is put in, none is taken out. Whoever
//! calls reads the result and compares, so a file written in a way this does not know is refused, never
//! broken.

use serde_json::{Value, json};

use super::jsonc;

/// The names servers may be under.
const SERVERS: [&str; 3] = ["mcpServers", "servers", "context_servers"];
/// The rules a person's own machine begins with.
const PACK: &str = "developer-workstation";

/// How a new file begins.
const HEAD: &str =
    "# Written by `sallyport import`; it is yours to change. docs/import.md tells what was done.\n";

/// A server to be added: its name, where it is from, what is said of it.
type Server<'a> = (&'a str, String, &'a [(String, Value)]);

/// What is added.
#[derive(Debug, Default)]
pub(crate) struct Addition<'a> {
    /// Servers.
    pub(crate) servers: Vec<Server<'a>>,
    /// Agents, with the role that may use what was approved.
    pub(crate) agents: Vec<&'a str>,
    /// There are no rules yet: those for a person's own machine.
    pub(crate) policy: bool,
    /// Where state is to be kept, in a new file.
    pub(crate) data: Option<String>,
}

/// Adds to a text, or begins one. None where the text is written in a way this cannot add to.
pub(crate) fn extend(text: Option<&str>, addition: &Addition<'_>) -> Option<String> {
    match text {
        Some(text) if text.trim_start().starts_with('{') => extend_json(text, addition),
        Some(text) => extend_yaml(text, addition),
        None => {
            let mut head = HEAD.to_owned();
            head.push_str("listen: \"127.0.0.1:0\"\n");
            if let Some(data) = &addition.data {
                head.push_str(&format!("data: {}\n", json!(data)));
            }
            extend_yaml(&head, addition)
        }
    }
}

fn extend_yaml(text: &str, addition: &Addition<'_>) -> Option<String> {
    let mut text = text.to_owned();
    if !addition.servers.is_empty() {
        let block = |indent: &str| {
            addition
                .servers
                .iter()
                .map(|server| in_block(server, indent))
                .collect::<String>()
        };
        let flow = |(name, _, fields): &Server<'_>| format!("{}: {}", json!(name), object(fields));
        let flow = addition.servers.iter().map(flow).collect::<Vec<_>>().join(", ");
        insert(&mut text, &SERVERS, &block, &flow)?;
    }
    if !addition.agents.is_empty() {
        let block = |indent: &str| {
            let lines = addition
                .agents
                .iter()
                .map(|name| format!("{indent}- name: {name}\n{indent}  roles: [owner]\n"));
            lines.collect::<String>()
        };
        let flow = addition
            .agents
            .iter()
            .map(|name| format!("{{ \"name\": {}, \"roles\": [\"owner\"] }}", json!(name)));
        let flow = flow.collect::<Vec<_>>().join(", ");
        insert(&mut text, &["agents"], &block, &flow)?;
    }
    if addition.policy {
        end_line(&mut text);
        text.push_str(&format!("policy:\n  packs: [{PACK}]\n"));
    }
    Some(text)
}

/// A server in block style.
fn in_block((name, from, fields): &Server<'_>, indent: &str) -> String {
    let mut out = format!("{indent}# from {from}\n{indent}{}:\n", key(name));
    for (field, value) in *fields {
        match value {
            Value::Object(map) if matches!(field.as_str(), "env" | "headers") => {
                out.push_str(&format!("{indent}  {field}:\n"));
                for (name, value) in map {
                    out.push_str(&format!("{indent}    {}: {value}\n", json!(name)));
                }
            }
            Value::Array(list) => {
                let list: Vec<_> = list.iter().map(Value::to_string).collect();
                out.push_str(&format!("{indent}  {field}: [{}]\n", list.join(", ")));
            }
            Value::Bool(_) | Value::Null | Value::Number(_) | Value::Object(_) | Value::String(_) => {
                out.push_str(&format!("{indent}  {field}: {value}\n"));
            }
        }
    }
    out
}

/// A name as a key; in quotation marks where YAML might take it for something else.
fn key(name: &str) -> String {
    let letters = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.len() > 1;
    let word = ["true", "false", "null", "yes", "no", "on", "off"]
        .iter()
        .any(|word| name.eq_ignore_ascii_case(word));
    if letters && !word {
        name.to_owned()
    } else {
        json!(name).to_string()
    }
}

fn object(fields: &[(String, Value)]) -> String {
    let members: Vec<_> = fields
        .iter()
        .map(|(key, value)| format!("{}: {value}", json!(key)))
        .collect();
    format!("{{ {} }}", members.join(", "))
}

/// Puts something into the collection under one of the keys, or begins it under the first.
fn insert(text: &mut String, keys: &[&str], block: &dyn Fn(&str) -> String, flow: &str) -> Option<()> {
    let Some(section) = section(text, keys)? else {
        end_line(text);
        let key = keys.first()?;
        text.push_str(&format!("{key}:\n{}", block("  ")));
        return Some(());
    };
    match section {
        Section::Block { end, indent } => {
            let (mut at, mut new) = (end, block(&indent));
            if !text.get(..at)?.ends_with('\n') {
                new = format!("\n{new}");
                at = text.len();
            }
            text.insert_str(at, &new);
        }
        Section::Flow { last, empty } => {
            let new = if empty {
                format!(" {flow} ")
            } else {
                format!(", {flow}")
            };
            text.insert_str(last, &new);
        }
    }
    Some(())
}

/// A collection at the top of a file.
enum Section {
    /// Its members on lines of their own: where the last ends, and how far they are moved in.
    Block { end: usize, indent: String },
    /// In brackets: where the last member ends, or the bracket opens.
    Flow { last: usize, empty: bool },
}

/// Finds a collection. The outer option is none where it is written in an unknown way.
fn section(text: &str, keys: &[&str]) -> Option<Option<Section>> {
    let mut at = 0;
    let mut lines = text.split_inclusive('\n');
    let after = loop {
        let Some(line) = lines.next() else {
            return Some(None);
        };
        if let Some(value) = keys.iter().find_map(|key| value_of(line, key)) {
            let value_at = at + (line.len() - value.len());
            let trimmed = value.trim_start();
            if trimmed.starts_with(['{', '[']) {
                return flow_end(text, value_at + (value.len() - trimmed.len())).map(Some);
            }
            if !trimmed.is_empty() && !trimmed.starts_with('#') {
                return None;
            }
            break at + line.len();
        }
        at += line.len();
    };
    let (mut at, mut end, mut indent) = (after, after, None);
    for line in lines {
        at += line.len();
        let content = line.trim_start_matches(' ');
        let comment = content.trim().is_empty() || content.starts_with('#');
        if comment {
            continue;
        }
        let depth = line.len() - content.len();
        if depth == 0 && !content.starts_with("- ") {
            break;
        }
        indent.get_or_insert_with(|| " ".repeat(depth));
        end = at;
    }
    Some(Some(Section::Block {
        end,
        indent: indent.unwrap_or_else(|| "  ".to_owned()),
    }))
}

/// What follows a key at the beginning of a line.
fn value_of<'l>(line: &'l str, key: &str) -> Option<&'l str> {
    let rest = [key.to_owned(), format!("\"{key}\""), format!("'{key}'")]
        .iter()
        .find_map(|key| line.strip_prefix(key.as_str()))?;
    let value = rest.trim_start_matches(' ').strip_prefix(':')?;
    (value.is_empty() || value.starts_with([' ', '\t', '\n', '\r'])).then_some(value)
}

/// The end of what is in brackets: where its last member ends.
fn flow_end(text: &str, open: usize) -> Option<Section> {
    let (mut depth, mut last, mut quoted, mut comment) = (0_usize, open + 1, None, false);
    let mut before = ' ';
    for (offset, c) in text.get(open..)?.char_indices() {
        let blank = c.is_whitespace();
        let at = open + offset;
        match quoted {
            _ if comment => comment = c != '\n',
            Some('"') if before == '\\' => {
                before = ' ';
                last = at + c.len_utf8();
                continue;
            }
            Some(mark) => {
                quoted = (c != mark).then_some(mark);
                last = at + c.len_utf8();
            }
            None => match c {
                '#' if before.is_whitespace() => comment = true,
                '{' | '[' => {
                    depth += 1;
                    last = at + 1;
                }
                '}' | ']' if depth == 1 => {
                    let inside = text.get(open + 1..last)?;
                    let empty = inside.trim().is_empty();
                    return Some(Section::Flow {
                        last: if empty { open + 1 } else { last },
                        empty,
                    });
                }
                '}' | ']' => {
                    depth -= 1;
                    last = at + 1;
                }
                _ if blank => {}
                // A comma at the end is taken over by what is put before it.
                ',' if depth == 1 => {}
                _ => {
                    if matches!(c, '"' | '\'') {
                        quoted = Some(c);
                    }
                    last = at + c.len_utf8();
                }
            },
        }
        before = c;
    }
    None
}

fn end_line(text: &mut String) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
}

/// A configuration that is JSON.
fn extend_json(text: &str, addition: &Addition<'_>) -> Option<String> {
    let mut text = text.to_owned();
    let servers = addition
        .servers
        .iter()
        .map(|(name, _, fields)| format!("{}: {}", json!(name), object(fields)));
    let agents = addition
        .agents
        .iter()
        .map(|name| json!({ "name": name, "roles": ["owner"] }).to_string());
    add_json(&mut text, &SERVERS, ('{', '}'), servers.collect())?;
    add_json(&mut text, &["agents"], ('[', ']'), agents.collect())?;
    if addition.policy {
        add_json(
            &mut text,
            &["policy"],
            ('{', '}'),
            vec![format!("\"packs\": [{}]", json!(PACK))],
        )?;
    }
    Some(text)
}

fn add_json(text: &mut String, keys: &[&str], brackets: (char, char), members: Vec<String>) -> Option<()> {
    if members.is_empty() {
        return Some(());
    }
    let root = jsonc::parse(text).ok()?;
    let found = keys.iter().find_map(|key| root.get(key).ok().flatten());
    let (target, new) = match found {
        Some(member) => (&member.value, members.join(",\n    ")),
        None => {
            let (key, (open, close)) = (keys.first()?, brackets);
            (
                &root,
                format!(
                    "{}: {open}\n    {}\n  {close}",
                    json!(key),
                    members.join(",\n    ")
                ),
            )
        }
    };
    let indent = if found.is_some() { "    " } else { "  " };
    let last = match &target.kind {
        jsonc::Kind::Object(members) => members.last().map(|member| member.value.span.end),
        jsonc::Kind::Array(elements) => elements.last().map(|element| element.span.end),
        jsonc::Kind::Plain(_) => return None,
    };
    match last {
        Some(last) => text.insert_str(last, &format!(",\n{indent}{new}")),
        None => text.insert_str(target.span.start + 1, &format!("\n{indent}{new}\n")),
    }
    Some(())
}
