//! The development data, read for training and evaluation. Nothing of it is kept in the repository.
#![allow(
    clippy::allow_attributes,
    dead_code,
    reason = "not every tool uses all that is shared"
)]

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;

/// One record.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) category: String,
    pub(crate) source: String,
    pub(crate) bad: bool,
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) difficulty: String,
    pub(crate) text: String,
    /// The definition, where the record is one.
    pub(crate) tool: Option<Value>,
    /// The part that attacks, where it is known.
    pub(crate) payload: Option<String>,
    /// Type, start and end in code points.
    pub(crate) spans: Vec<(String, usize, usize)>,
}

/// All records of the categories asked for, in the order of their files.
pub(crate) fn load(folder: &Path, categories: &[&str]) -> Vec<Record> {
    let mut records = Vec::new();
    for category in categories {
        let mut files: Vec<_> = fs::read_dir(folder.join(category))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            records.extend(text.lines().filter_map(|line| record(category, line)));
        }
    }
    records
}

fn record(category: &str, line: &str) -> Option<Record> {
    let value: Value = serde_json::from_str(line).unwrap();
    let word = |name: &str| {
        value
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let tool = value.get("tool").cloned();
    let text = match &tool {
        Some(tool) => strings(tool),
        None => value.get("text")?.as_str()?.to_owned(),
    };
    let spans = value
        .get("spans")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let number = |span: &Value, name: &str| {
        usize::try_from(span.get(name).and_then(Value::as_u64).unwrap_or(0)).unwrap_or(0)
    };
    Some(Record {
        id: word("id"),
        category: category.to_owned(),
        source: word("source"),
        bad: !matches!(word("label").as_str(), "benign" | "clean"),
        group: word("group"),
        kind: word("kind"),
        difficulty: word("difficulty"),
        payload: payload(&word("source"), &value, &text),
        spans: spans
            .iter()
            .map(|s| {
                let name = s
                    .get("type")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned();
                (name, number(s, "start"), number(s, "end"))
            })
            .collect(),
        text,
        tool,
    })
}

/// What attacks, where it is told, or stands after a first sentence that only reports.
fn payload(source: &str, value: &Value, text: &str) -> Option<String> {
    if source == "asb_opi" {
        let rest = text.get(text.find('.')? + 1..)?;
        return Some(rest.to_owned());
    }
    // Of an overt attack only the goal is told; what is overt stands around it.
    let overt = value.get("difficulty").and_then(Value::as_str) == Some("overt");
    if overt && source != "piarena" {
        return None;
    }
    value
        .pointer("/meta/payload")
        .and_then(Value::as_str)
        .map(str::to_owned)
}

/// A definition as the scanner strings it together: `key: value` lines.
pub(crate) fn strings(value: &Value) -> String {
    fn walk(value: &Value, out: &mut String) {
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    out.push_str(key);
                    out.push_str(": ");
                    walk(value, out);
                }
            }
            Value::Array(elements) => elements.iter().for_each(|element| walk(element, out)),
            Value::String(text) => {
                out.push_str(text);
                out.push('\n');
            }
            Value::Number(number) => {
                out.push_str(&number.to_string());
                out.push('\n');
            }
            Value::Bool(_) | Value::Null => out.push('\n'),
        }
    }
    let mut out = String::new();
    walk(value, &mut out);
    out
}

/// What was flagged, by a name; each record with its group.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<String, Vec<(String, bool)>>);

/// Times the groups are drawn anew for an interval.
const DRAWS: usize = 500;

impl Tally {
    pub(crate) fn add(&mut self, name: &str, group: &str, flagged: bool) {
        self.0
            .entry(name.to_owned())
            .or_default()
            .push((group.to_owned(), flagged));
    }

    pub(crate) fn rate(&self, name: &str) -> f64 {
        self.0.get(name).map_or(0.0, |seen| share(seen))
    }

    pub(crate) fn print(&self, title: &str) {
        println!("\n{title} (in brackets: 95 % of draws of whole groups)");
        for (name, seen) in &self.0 {
            let (low, high) = interval(seen);
            let flagged = seen.iter().filter(|(_, flagged)| *flagged).count();
            println!(
                "  {name:<36} {flagged:>5} of {:>5}  {:>6.2} % [{:.1}, {:.1}]",
                seen.len(),
                100.0 * share(seen),
                100.0 * low,
                100.0 * high
            );
        }
    }
}

fn share(seen: &[(String, bool)]) -> f64 {
    seen.iter().filter(|(_, flagged)| *flagged).count() as f64 / seen.len().max(1) as f64
}

/// The bootstrap over groups: records of one group are near copies, so they are drawn together.
fn interval(seen: &[(String, bool)]) -> (f64, f64) {
    let mut groups: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (group, flagged) in seen {
        let count = groups.entry(group).or_default();
        count.0 += usize::from(*flagged);
        count.1 += 1;
    }
    let groups: Vec<(usize, usize)> = groups.into_values().collect();
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut rates: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let (mut flagged, mut all) = (0, 0);
            for _ in 0..groups.len() {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let drawn = groups[usize::try_from(random % groups.len() as u64).unwrap()];
                flagged += drawn.0;
                all += drawn.1;
            }
            flagged as f64 / all.max(1) as f64
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    (rates[DRAWS / 40], rates[DRAWS - 1 - DRAWS / 40])
}
