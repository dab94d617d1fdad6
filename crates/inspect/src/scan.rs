//! One road for every content: values are strung together, read in windows of bounded size, and what is seen
//! is brought back to the value it was seen in.

use std::{ops::Range, sync::Arc};

use wire::{
    bounds::POINTER_BYTES_MAX,
    json::{Kind, Node, Pointer},
};

use crate::{
    Detector, FINDINGS_MAX, Finding, FindingKind, Findings, Inspector, Location, Part, Passage, Report,
    Scope, Score, Sighting, Surface,
    own::Own,
    view::{floor, is_read},
};

/// Bytes held at once. All memory of an inspection is a small multiple of this.
const WINDOW_BYTES: usize = 32 * 1024;
/// Bytes that two windows share, so that nothing shorter is cut in two.
const OVERLAP_BYTES: usize = 2 * 1024;
/// Findings back in which one of the same thing is looked for.
const LATELY: usize = 16;
/// Encoded text is read on from a place that keeps its groups whole: 4 of base64, 2 of hex, 3 of URL.
const GROUP_BYTES: usize = 12;

/// Reads a content of any length, piece by piece.
#[derive(Debug)]
pub(crate) struct Scan<'i> {
    inspector: &'i Inspector,
    scope: Scope<'i>,
    /// The operator's settings when it began.
    own: Arc<Own>,
    buffer: String,
    /// Where the buffer begins in the whole string of pieces.
    base: usize,
    pieces: Vec<Piece>,
    found: Vec<Found>,
    /// How far reports have been taken: what begins before it was reported already.
    settled: usize,
}

/// A value or key and where it stands in the whole string of pieces.
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: usize,
    end: usize,
    place: u32,
    part: Part,
}

/// A finding whose pointer is still to be looked up.
#[derive(Debug)]
struct Found {
    place: u32,
    part: Part,
    span: Range<usize>,
    sighting: Sighting,
}

impl<'i> Scan<'i> {
    pub(crate) fn new(inspector: &'i Inspector, scope: Scope<'i>) -> Self {
        Self {
            inspector,
            scope,
            own: inspector.own(),
            buffer: String::new(),
            base: 0,
            pieces: Vec::new(),
            found: Vec::new(),
            settled: 0,
        }
    }

    /// Reads a value with all it holds.
    pub(crate) fn node(&mut self, node: Node<'_>) {
        string_together(node, self);
    }

    /// Reads a member: its name and what it holds.
    pub(crate) fn member(&mut self, key: Node<'_>, value: Node<'_>) {
        member(key, value, self);
    }

    /// Says of a block of content that is an image, a sound or a file that nobody has read it.
    fn binary(&mut self, block: Node<'_>) {
        if self.scope.surface != Surface::Result || self.found.len() > FINDINGS_MAX {
            return;
        }
        let is = |kind: &str| block.get("type").is_some_and(|given| given.is_str(kind));
        let content = block
            .get("blob")
            .or_else(|| block.get("data").filter(|_| is("image") || is("audio")));
        let Some((node, encoded)) = content.and_then(|node| Some((node, node.as_str()?))) else {
            return;
        };
        if encoded.is_empty() || is_read(&encoded) {
            return;
        }
        self.found.push(Found {
            place: node.place(),
            part: Part::Value,
            span: 0..encoded.len(),
            sighting: Sighting {
                kind: FindingKind::Uninspectable,
                detector: "uninspectable/binary".into(),
                written: 0..0,
                score: Score::new(0.5),
                note: "content that is no text is not read".into(),
            },
        });
    }

    fn append(&mut self, mut text: &str) {
        while self.buffer.len() + text.len() > WINDOW_BYTES {
            let room = floor(text, WINDOW_BYTES.saturating_sub(self.buffer.len()));
            let (now, later) = text.split_at_checked(room).unwrap_or((text, ""));
            self.buffer.push_str(now);
            text = later;
            self.turn();
        }
        self.buffer.push_str(text);
    }

    /// Reads one value or key; further text of the same place continues it.
    pub(crate) fn piece(&mut self, text: &str, place: u32, part: Part) {
        let start = self.base + self.buffer.len();
        match self.pieces.last_mut() {
            Some(last) if last.place == place && last.part == part && last.end == start => {
                last.end += text.len();
            }
            Some(_) | None => self.pieces.push(Piece {
                start,
                end: start + text.len(),
                place,
                part,
            }),
        }
        self.append(text);
    }

    /// Looks at a full window and keeps the part the next one shares.
    fn turn(&mut self) {
        let keep = self.overlap_start();
        self.look(self.base + keep);
        self.buffer.drain(..keep);
        self.base += keep;
        let base = self.base;
        let last = self.pieces.len().saturating_sub(1);
        let mut index = 0;
        self.pieces.retain(|piece| {
            index += 1;
            piece.end > base || index > last
        });
    }

    /// Where the next window begins: before the end by the overlap, at a character, and inside an unbroken
    /// run at a whole number of groups from where the run began.
    fn overlap_start(&self) -> usize {
        let wanted = floor(&self.buffer, self.buffer.len().saturating_sub(OVERLAP_BYTES));
        let before = self.buffer.get(..wanted).unwrap_or_default();
        let run = before.len() - before.trim_end_matches(|c: char| c.is_ascii_graphic()).len();
        let begin = wanted - run % GROUP_BYTES;
        if begin == 0 { wanted.max(1) } else { begin }
    }

    /// Looks at the window; reports what begins before `until`.
    fn look(&mut self, until: usize) {
        let seen = self.own.recalled(&self.buffer, self.scope, || {
            let passage = Passage::new(&self.buffer, self.scope.surface);
            let mut report = Report::default();
            for detector in self.inspector.detectors() {
                detector.look(&passage, &mut report);
            }
            self.own.look(&passage, &mut report);
            report.into_sightings()
        });
        for sighting in seen.iter() {
            let start = self.base + sighting.written.start;
            let passed = || self.own.passes(self.scope, sighting, &self.buffer);
            if start < self.settled || start >= until || passed() {
                continue;
            }
            self.place(sighting);
        }
        self.settled = self.settled.max(until);
    }

    /// Brings what was seen back to the values it was seen in.
    fn place(&mut self, sighting: &Sighting) {
        let (start, end) = (
            self.base + sighting.written.start,
            self.base + sighting.written.end,
        );
        let first = self.pieces.partition_point(|piece| piece.end <= start);
        for piece in self
            .pieces
            .iter()
            .skip(first)
            .take_while(|piece| piece.start < end)
        {
            if self.found.len() > FINDINGS_MAX {
                return;
            }
            let found = Found {
                place: piece.place,
                part: piece.part,
                span: start.max(piece.start) - piece.start..end.min(piece.end) - piece.start,
                sighting: sighting.clone(),
            };
            let mut lately = self.found.iter_mut().rev().take(LATELY);
            match lately.find(|earlier| earlier.is_overlapped_by(&found)) {
                Some(earlier) => earlier.take_in(found),
                None => self.found.push(found),
            }
        }
    }

    /// Looks at what is left and gives what was found; places are named from `root`.
    pub(crate) fn finish(mut self, root: Option<Node<'_>>) -> Findings {
        self.look(usize::MAX);
        let too_many = self.found.len() > FINDINGS_MAX;
        self.found.truncate(FINDINGS_MAX);
        let places = self.found.iter().map(|found| found.place);
        let pointers = root
            .map(|root| Pointer::to_each(root, places, POINTER_BYTES_MAX))
            .unwrap_or_default();
        let mut findings: Vec<Finding> = self
            .found
            .into_iter()
            .map(|found| {
                let pointer = pointers.get(&found.place).cloned();
                found.into_finding(pointer.unwrap_or_default())
            })
            .collect();
        if too_many {
            findings.push(Finding {
                kind: FindingKind::Uninspectable,
                detector: "uninspectable/too-many-findings".into(),
                location: Location {
                    pointer: Pointer::default(),
                    part: Part::Value,
                    place: root.map_or(0, Node::place),
                    span: 0..0,
                },
                score: Score::new(0.5),
                note: format!("more than {FINDINGS_MAX} findings; the rest is not listed").into(),
            });
        }
        Findings::new(findings)
    }
}

/// Whoever reads a content as one text.
pub(crate) trait Reader {
    /// A value or key.
    fn piece(&mut self, text: &str, place: u32, part: Part);
    /// What stands between two.
    fn glue(&mut self, text: &str);
    /// An object, when all its members were read.
    fn object(&mut self, node: Node<'_>);
}

/// Reads a value with all it holds, in the order in which it is written.
pub(crate) fn string_together(node: Node<'_>, reader: &mut impl Reader) {
    match node.kind() {
        Kind::Object => {
            node.members().for_each(|(key, value)| member(key, value, reader));
            reader.object(node);
        }
        Kind::Array => node
            .elements()
            .for_each(|element| string_together(element, reader)),
        Kind::String => {
            reader.piece(&node.as_str().unwrap_or_default(), node.place(), Part::Value);
            reader.glue("\n");
        }
        // A number may be a card or a telephone.
        Kind::Number => {
            reader.piece(node.written(), node.place(), Part::Value);
            reader.glue("\n");
        }
        Kind::Bool | Kind::Null => reader.glue("\n"),
    }
}

fn member(key: Node<'_>, value: Node<'_>, reader: &mut impl Reader) {
    reader.piece(&key.as_str().unwrap_or_default(), key.place(), Part::Key);
    reader.glue(": ");
    string_together(value, reader);
}

impl Reader for Scan<'_> {
    fn piece(&mut self, text: &str, place: u32, part: Part) {
        Scan::piece(self, text, place, part);
    }

    fn glue(&mut self, text: &str) {
        self.append(text);
    }

    fn object(&mut self, node: Node<'_>) {
        self.binary(node);
    }
}

impl Found {
    /// Whether both say the same of overlapping text: two windows or two views saw one thing.
    fn is_overlapped_by(&self, other: &Self) -> bool {
        self.place == other.place
            && self.part == other.part
            && self.span.start < other.span.end
            && other.span.start < self.span.end
            && self.sighting.detector == other.sighting.detector
    }

    fn take_in(&mut self, other: Self) {
        self.span = self.span.start.min(other.span.start)..self.span.end.max(other.span.end);
        if other.sighting.score > self.sighting.score {
            self.sighting = other.sighting;
        }
    }

    fn into_finding(self, pointer: Pointer) -> Finding {
        Finding {
            kind: self.sighting.kind,
            detector: self.sighting.detector,
            location: Location {
                pointer,
                part: self.part,
                place: self.place,
                span: self.span,
            },
            score: self.sighting.score,
            note: self.sighting.note,
        }
    }
}
