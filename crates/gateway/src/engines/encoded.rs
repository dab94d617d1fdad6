//! Contents in base64 of which a text is rewritten: they stay base64, of what the text has become.

use std::collections::{BTreeMap, BTreeSet};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use inspect::{Scope, Surface};
use pipeline::Objection;
use wire::{
    bounds::ANSWER,
    json::{Document, Keys, Kind, Node, Pointer, Writer},
};

use super::{
    Engines,
    rewrite::{Content, Orders},
    said::Said,
    told::List,
};

/// As clients decode it: with or without padding, whatever is in the bits that are left over.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The places of values that are base64 because the protocol says so.
pub(super) fn places(said: Node<'_>) -> BTreeSet<u32> {
    let objects = said.walk().filter(|node| node.kind() == Kind::Object);
    let encoded = objects.flat_map(|object| {
        let is_shown = |kind: Node<'_>| kind.is_str("audio") || kind.is_str("image");
        let data = object.get("type").filter(|kind| is_shown(*kind));
        [object.get("blob"), data.and_then(|_| object.get("data"))]
    });
    let texts = encoded.flatten().filter(|value| value.kind() == Kind::String);
    texts.map(Node::place).collect()
}

impl Engines {
    /// What comes in the place of such values: base64 of their texts, rewritten like all others. What is no text, or holds
    /// nothing by itself that has to go, goes as a whole. Gives the pseudonyms in them as well.
    pub(super) fn encoded(
        &self,
        content: &Content<'_>,
        orders: &Orders<'_>,
        places: &BTreeSet<u32>,
        report: &mut Said,
    ) -> Result<(BTreeMap<u32, String>, Vec<String>), Objection> {
        let (mut texts, mut names) = (BTreeMap::new(), Vec::new());
        for place in places {
            let Some(value) = content.said.document().at(*place) else {
                continue;
            };
            let at = || Pointer::to(content.said, value).unwrap_or_default();
            let inner = decoded(value).map(|text| self.rewritten(content, orders, &text));
            let rewritten = match inner.transpose()?.flatten() {
                Some((text, told, new)) => {
                    report.take_in(told, &at());
                    names.extend(new);
                    STANDARD.encode(text)
                }
                None => {
                    report.add(at, "withhold", "encoded");
                    String::new()
                }
            };
            texts.insert(*place, rewritten);
        }
        Ok((texts, names))
    }

    /// A text by itself as it is to be shown, what was done to it, and the pseudonyms in it; none if nothing was done.
    fn rewritten(
        &self,
        content: &Content<'_>,
        orders: &Orders<'_>,
        text: &str,
    ) -> Result<Option<(String, Said, Vec<String>)>, Objection> {
        let mut writer = Writer::default();
        writer.array(|list| list.string(text));
        let Ok(document) = Document::parse(writer.into_bytes(), Keys::Exact, &ANSWER) else {
            return Ok(None);
        };
        let scope = Scope {
            surface: Surface::Result,
            whose: None,
            server: None,
            tool: None,
        };
        let said = document.root();
        let findings = self.inspector.inspect_node(said, scope);
        let inner = Content {
            said,
            findings: &findings,
            ..*content
        };
        let mut report = Said::default();
        let (mut texts, names) = self.replaced(&inner, orders, &mut report)?;
        let text = said
            .elements()
            .next()
            .and_then(|text| texts.remove(&text.place()));
        Ok(text.map(|text| (text, report, names)))
    }
}

/// Those of these values in which something that the far side was told stands: as text, in text of two bytes a letter, or
/// among what is no text.
pub(super) fn telling(said: Node<'_>, places: &BTreeSet<u32>, told: &List) -> BTreeSet<u32> {
    let is_in = |bytes: &[u8]| !told.find(&String::from_utf8_lossy(bytes)).is_empty();
    let holds = |place: &u32| {
        let bytes = said.document().at(*place).and_then(bytes);
        bytes.is_some_and(|bytes| {
            let narrow: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
            is_in(&bytes) || is_in(&narrow)
        })
    };
    places.iter().copied().filter(holds).collect()
}

fn decoded(value: Node<'_>) -> Option<String> {
    String::from_utf8(bytes(value)?).ok()
}

/// What stands there, as leniently as any client reads it: in either alphabet, broken by whatever is in neither, and
/// several pieces with the padding of each.
fn bytes(value: Node<'_>) -> Option<Vec<u8>> {
    let text = value.as_str()?;
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for piece in text.split('=') {
        let letters = piece.bytes().filter_map(|byte| match byte {
            b'-' => Some(b'+'),
            b'_' => Some(b'/'),
            b'+' | b'/' => Some(byte),
            _ => byte.is_ascii_alphanumeric().then_some(byte),
        });
        let mut letters: Vec<u8> = letters.collect();
        // One letter alone is no byte.
        if letters.len() % 4 == 1 {
            letters.pop();
        }
        bytes.extend(LENIENT.decode(letters).ok()?);
    }
    Some(bytes)
}
