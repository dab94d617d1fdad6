//! Arguments at the boundaries of what rules say and schemas allow.

use std::collections::BTreeSet;

use wire::json::{Document, Node, object, write_string};

use super::weigh::parsed;

/// Most values tried per argument, and objects of arguments per tool.
const VALUES_MAX: usize = 40;
const OBJECTS_MAX: usize = 2_000;

/// Texts and numbers that rules compare with, in the order in which the rules came.
#[derive(Debug, Default)]
pub(super) struct Literals {
    texts: Vec<String>,
    numbers: Vec<i64>,
}

impl Literals {
    pub(super) fn texts(&self) -> impl Iterator<Item = String> {
        self.texts.iter().cloned()
    }
}

/// The literals of rules: what stands in quotes, and whole numbers. Only so many values of an argument are tried: the rules
/// that matter most come first.
pub(super) fn literals(rules: &[String]) -> Literals {
    let mut literals = Literals::default();
    let (mut texts, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for rule in rules {
        for (n, part) in rule.split('"').enumerate() {
            if n % 2 == 1 {
                if texts.insert(part) {
                    literals.texts.push(part.to_owned());
                }
                continue;
            }
            let digits = part.split(|c: char| !c.is_ascii_digit() && c != '-');
            let of_rule = digits.filter_map(|word| word.parse::<i64>().ok());
            literals
                .numbers
                .extend(of_rule.filter(|number| numbers.insert(*number)));
        }
    }
    literals
}

/// Objects of arguments for a tool: none, one with every argument at its plainest, and from there each
/// argument alone and each two together at their boundary values.
pub(super) fn arguments(definition: Option<&Document>, literals: &Literals) -> Vec<Document> {
    let properties =
        definition.and_then(|definition| definition.root().get("inputSchema")?.get("properties"));
    let names: Vec<(String, Vec<Vec<u8>>)> = properties
        .into_iter()
        .flat_map(Node::members)
        .filter_map(|(name, schema)| Some((name.as_str()?.into_owned(), values(schema, literals))))
        .collect();
    let mut all = vec![b"{}".to_vec(), written(&names, &[])];
    for (n, (_, values)) in names.iter().enumerate() {
        all.extend((0..values.len()).map(|value| written(&names, &[(n, value)])));
    }
    for (n, (_, values)) in names.iter().enumerate() {
        for (other, (_, others)) in names.iter().enumerate().skip(n + 1) {
            for value in 0..values.len() {
                all.extend((0..others.len()).map(|second| written(&names, &[(n, value), (other, second)])));
                if all.len() > OBJECTS_MAX {
                    break;
                }
            }
        }
    }
    all.truncate(OBJECTS_MAX);
    all.into_iter().filter_map(parsed).collect()
}

fn written(names: &[(String, Vec<Vec<u8>>)], chosen: &[(usize, usize)]) -> Vec<u8> {
    object(|out| {
        for (n, (name, values)) in names.iter().enumerate() {
            let pick = chosen
                .iter()
                .find(|(at, _)| *at == n)
                .map_or(0, |(_, value)| *value);
            if let Some(value) = values.get(pick) {
                out.json(name, value);
            }
        }
    })
}

fn values(schema: Node<'_>, literals: &Literals) -> Vec<Vec<u8>> {
    let text = |text: &str| {
        let mut out = Vec::new();
        write_string(&mut out, text);
        out
    };
    let kind = schema
        .get("type")
        .and_then(Node::as_str)
        .unwrap_or_default()
        .into_owned();
    let mut all: Vec<Vec<u8>> = Vec::new();
    let given = schema.get("enum").into_iter().flat_map(Node::elements);
    all.extend(given.map(|one| one.written().as_bytes().to_vec()));
    match kind.as_str() {
        "integer" | "number" => {
            let near = literals
                .numbers
                .iter()
                .flat_map(|n| [n.saturating_sub(1), *n, n.saturating_add(1)]);
            let mut seen = BTreeSet::new();
            let near = [0, 1, -1].into_iter().chain(near).filter(|n| seen.insert(*n));
            all.extend(near.map(|n| n.to_string().into_bytes()));
        }
        "boolean" => all.extend([b"true".to_vec(), b"false".to_vec()]),
        "array" => {
            all.push(b"[]".to_vec());
            let one = |item: &String| [b"[".to_vec(), text(item), b"]".to_vec()].concat();
            all.extend(literals.texts.iter().map(one));
        }
        "object" => all.push(b"{}".to_vec()),
        _ => {
            all.push(text(""));
            all.push(text("something"));
            for literal in &literals.texts {
                all.push(text(literal));
                // A pattern, filled in.
                if literal.contains('*') {
                    all.push(text(&literal.replace('*', "x")));
                }
            }
        }
    }
    all.truncate(VALUES_MAX);
    all
}
