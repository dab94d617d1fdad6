//! `sallyport inspect`: what detection says of texts and tool definitions, one JSON line each.
//!
//! Needs no configuration and no gateway; the thresholds are the shipped ones.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Read, Write},
};

use clap::{Args, ValueEnum};
use inspect::{
    Finding, FindingKind, Findings, Inspector, SUSPECT_MIN, Settings, Surface, Texts, Verdict, redact,
};
use wire::{
    bounds::{ANSWER, JsonBounds},
    json::{Document, Edits, Keys, Kind, Node, Writer, object},
};

use crate::failure::Failure;

/// Texts of 10 MB and more are read; what is longer than this is a bad line.
const LINE: JsonBounds = JsonBounds {
    text_bytes_max: 64 * 1024 * 1024,
    ..ANSWER
};

/// What a line is like.
const EXAMPLE: &str = r#"write one JSON object a line, such as {"id":"1","text":"..."}"#;

/// Say what detection finds in texts and tool definitions: JSON lines in, JSON lines out.
#[derive(Args, Debug)]
pub(crate) struct Inspect {
    /// What the texts are. A line with `tool` is always read as a definition.
    #[arg(long = "as", value_name = "WHAT", value_enum, default_value_t = As::Result)]
    surface: As,
}

/// The surface, as the command line spells it.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum As {
    /// What an agent gives to a tool.
    Argument,
    /// What a server says about itself.
    Definition,
    /// What a person or model writes.
    Message,
    /// What a tool gives back.
    Result,
}

impl As {
    fn surface(self) -> Surface {
        match self {
            Self::Argument => Surface::Argument,
            Self::Definition => Surface::Definition,
            Self::Message => Surface::Message,
            Self::Result => Surface::Result,
        }
    }
}

impl Inspect {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let inspector =
            Inspector::new(&Settings::default()).map_err(|error| Failure::other(error.to_string()))?;
        let surface = self.surface.surface();
        match inspect(&inspector, surface, io::stdin().lock(), io::stdout().lock()) {
            Ok(tally) => tally.result(),
            // Whoever reads our answers has had enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(Failure::other(format!("reading or writing failed: {error}"))),
        }
    }
}

/// How many lines there were, and how many of them said nothing.
#[derive(Debug, Default)]
struct Tally {
    lines: usize,
    bad: usize,
}

impl Tally {
    fn result(self) -> Result<(), Failure> {
        if self.bad == 0 {
            return Ok(());
        }
        Err(Failure::does_not_hold(format!(
            "{} of {} lines could not be read; their answers carry `error`, correct them and send them again",
            self.bad, self.lines
        )))
    }
}

fn inspect(
    inspector: &Inspector,
    surface: Surface,
    mut lines: impl BufRead,
    mut out: impl Write,
) -> io::Result<Tally> {
    let mut tally = Tally::default();
    let mut number = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let most = u64::try_from(LINE.text_bytes_max).unwrap_or(u64::MAX) + 2;
        if lines.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let too_long = line.len() > LINE.text_bytes_max && !line.ends_with(b"\n");
        if too_long {
            lines.skip_until(b'\n')?;
        }
        number += 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        tally.lines += 1;
        let answer = if too_long {
            Err(BadLine {
                id: None,
                why: format!(
                    "the line is longer than {} bytes; split the text",
                    LINE.text_bytes_max
                ),
            })
        } else {
            answer(inspector, surface, &line)
        };
        let mut answer = answer.unwrap_or_else(|BadLine { id, why }| {
            tally.bad += 1;
            object(|out| {
                if let Some(id) = &id {
                    out.json("id", id.as_bytes());
                }
                out.integer("line", i128::from(number));
                out.string("error", &format!("line {number}: {why}"));
            })
        });
        answer.push(b'\n');
        out.write_all(&answer)?;
        out.flush()?;
    }
    Ok(tally)
}

/// What is wrong with a line, and its id as written where it could be read.
struct BadLine {
    id: Option<String>,
    why: String,
}

/// The answer to one line, or what is wrong with the line.
fn answer(inspector: &Inspector, surface: Surface, line: &[u8]) -> Result<Vec<u8>, BadLine> {
    let document = Document::parse(line.to_vec(), Keys::Exact, &LINE).map_err(|error| BadLine {
        id: None,
        why: format!("{error}; {EXAMPLE}"),
    })?;
    let root = document.root();
    answer_object(inspector, surface, root).map_err(|why| BadLine {
        id: root.get("id").map(|id| id.written().to_owned()),
        why: format!("{why}; {EXAMPLE}"),
    })
}

fn answer_object(inspector: &Inspector, surface: Surface, root: Node<'_>) -> Result<Vec<u8>, &'static str> {
    if root.kind() != Kind::Object {
        return Err("is not an object");
    }
    if let Some(tool) = root.get("tool") {
        let findings = inspector.inspect_node(tool, Surface::Definition);
        return Ok(tool_answer(root.get("id"), tool, &findings));
    }
    let text = root.get("text").ok_or("has neither `text` nor `tool`")?;
    let text = text.as_str().ok_or("`text` is not a string")?;
    let findings = inspector.inspect_text(&text, surface);
    Ok(text_answer(root.get("id"), &text, &findings))
}

fn text_answer(id: Option<Node<'_>>, text: &str, findings: &Findings) -> Vec<u8> {
    let mut points = CodePoints::default();
    let spans: Vec<_> = findings.iter().map(|f| points.span(text, f)).collect();
    let redacted = redact(
        text,
        protected(findings).map(|f| (f.location.span.clone(), f.detector.as_ref())),
    );
    object(|out| {
        opening(out, id, findings);
        out.array("findings", |list| {
            for (finding, (start, end)) in findings.iter().zip(&spans) {
                list.object(|out| {
                    describe(out, finding);
                    out.integer("start", *start);
                    out.integer("end", *end);
                });
            }
        });
        out.string("redacted", &redacted);
    })
}

fn tool_answer(id: Option<Node<'_>>, tool: Node<'_>, findings: &Findings) -> Vec<u8> {
    let mut texts = Texts::of(tool);
    let mut by_place: BTreeMap<u32, Vec<&Finding>> = BTreeMap::new();
    protected(findings).for_each(|f| by_place.entry(f.location.place).or_default().push(f));
    let mut edits = Edits::default();
    for (place, found) in by_place {
        if let Some(node) = tool.document().at(place) {
            let spans = found
                .iter()
                .map(|f| (f.location.span.clone(), f.detector.as_ref()));
            edits.string(node, &redact(texts.at(place).unwrap_or_default(), spans));
        }
    }
    let mut redacted = Writer::default();
    redacted.edited(tool, &edits);
    let redacted = redacted.into_bytes();
    object(|out| {
        opening(out, id, findings);
        out.array("findings", |list| {
            let mut points = CodePoints::default();
            for finding in findings {
                let text = texts.at(finding.location.place).unwrap_or_default();
                let (start, end) = points.span(text, finding);
                list.object(|out| {
                    describe(out, finding);
                    out.string("pointer", finding.location.pointer.as_str());
                    out.integer("start", start);
                    out.integer("end", end);
                });
            }
        });
        out.json("redacted", &redacted);
    })
}

fn opening(out: &mut wire::json::ObjectWriter<'_>, id: Option<Node<'_>>, findings: &Findings) {
    match id {
        Some(id) => out.node("id", id),
        None => out.null("id"),
    }
    let (verdict, score) = Verdict::of(findings);
    out.json("score", format!("{:.4}", score.get()).as_bytes());
    out.string("verdict", verdict.as_str());
}

fn describe(out: &mut wire::json::ObjectWriter<'_>, finding: &Finding) {
    out.string("kind", finding.kind.as_str());
    out.string("detector", &finding.detector);
    out.json("score", format!("{:.4}", finding.score.get()).as_bytes());
    out.string("note", &finding.note);
}

/// What nobody should see who need not: what `redacted` leaves out.
fn protected(findings: &Findings) -> impl Iterator<Item = &Finding> {
    findings.iter().filter(|finding| match finding.kind {
        FindingKind::Personal | FindingKind::Secret => finding.score >= SUSPECT_MIN,
        FindingKind::Injection
        | FindingKind::Poisoning
        | FindingKind::Schema
        | FindingKind::Unicode
        | FindingKind::Uninspectable => false,
    })
}

/// Counts code points up to a byte. Findings come in order, so the count goes on from the last one in the same text.
#[derive(Debug, Default)]
struct CodePoints {
    place: u32,
    byte: usize,
    points: usize,
}

impl CodePoints {
    fn span(&mut self, text: &str, finding: &Finding) -> (i128, i128) {
        let (place, span) = (finding.location.place, &finding.location.span);
        if place != self.place {
            *self = Self {
                place,
                ..Self::default()
            };
        }
        let start = self.to(text, span.start);
        let length = text.get(span.clone()).map_or(0, |found| found.chars().count());
        let number = |n: usize| i128::try_from(n).unwrap_or(i128::MAX);
        (number(start), number(start + length))
    }

    fn to(&mut self, text: &str, byte: usize) -> usize {
        if byte < self.byte {
            (self.byte, self.points) = (0, 0);
        }
        self.points += text
            .get(self.byte..byte)
            .map_or(0, |between| between.chars().count());
        self.byte = byte;
        self.points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(input: &str) -> (Vec<String>, Tally) {
        let inspector = Inspector::new(&Settings::default()).unwrap();
        let mut out = Vec::new();
        let tally = inspect(&inspector, Surface::Result, input.as_bytes(), &mut out).unwrap();
        (
            String::from_utf8(out)
                .unwrap()
                .lines()
                .map(str::to_owned)
                .collect(),
            tally,
        )
    }

    #[test]
    fn a_bad_line_is_named_and_loses_nothing() {
        let (lines, tally) =
            run("{\"id\":1,\"text\":\"fine\"}\nnot json\n\n{\"id\":2}\n{\"id\":\"z\",\"text\":\"fine\"}\n");
        assert_eq!(lines.len(), 4);
        assert!(
            lines[0].starts_with(r#"{"id":1,"score":0.0000,"verdict":"clean","findings":[]"#),
            "{}",
            lines[0]
        );
        assert!(
            lines[1].starts_with(r#"{"line":2,"error":"line 2: "#),
            "{}",
            lines[1]
        );
        assert!(
            lines[2].starts_with(r#"{"id":2,"line":4,"error":"line 4: has neither `text` nor `tool`;"#),
            "{}",
            lines[2]
        );
        assert!(lines[3].starts_with(r#"{"id":"z""#));
        assert_eq!((tally.lines, tally.bad), (4, 2));
        assert_eq!(tally.result().unwrap_err().code(), 1);
    }

    #[test]
    fn offsets_count_code_points_and_protected_values_are_marked() {
        let (lines, _) = run("{\"id\":1,\"text\":\"caf\u{e9}: mail a@example.org\"}\n");
        assert!(lines[0].contains(r#""start":11,"end":24"#), "{}", lines[0]);
        assert!(
            lines[0].contains(
                r#""redacted":"caf\u{e9}: mail [redacted: personal/email]""#
                    .replace("\\u{e9}", "\u{e9}")
                    .as_str()
            ),
            "{}",
            lines[0]
        );
    }

    #[test]
    fn offsets_in_a_tool_begin_anew_in_each_text() {
        let (lines, _) = run(concat!(
            r#"{"id":1,"tool":{"name":"t","description":"\u00e9 a@example.org, b@example.org","#,
            r#""title":"\u00e9\u00e9 c@example.org"}}"#,
            "\n"
        ));
        for place in [
            r#""pointer":"/description","start":2,"end":15"#,
            r#""pointer":"/description","start":17,"end":30"#,
            r#""pointer":"/title","start":3,"end":16"#,
        ] {
            assert!(lines[0].contains(place), "{place}: {}", lines[0]);
        }
    }

    #[test]
    fn a_tool_keeps_its_shape() {
        let (lines, _) = run("{\"id\":1,\"tool\":{\"name\":\"t\",\"description\":\"ask a@example.org\"}}\n");
        assert!(lines[0].contains(r#""pointer":"/description""#), "{}", lines[0]);
        assert!(
            lines[0].ends_with(r#""redacted":{"name":"t","description":"ask [redacted: personal/email]"}}"#),
            "{}",
            lines[0]
        );
    }
}
