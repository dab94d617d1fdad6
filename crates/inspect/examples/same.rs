//! Prints everything that is found in the development data, whole, broken and strung together, so that two builds can
//! be compared byte for byte when only their speed should differ:
//!
//! `target/release/examples/same DATA > before`, change, build, `target/release/examples/same DATA | cmp - before`.
//!
//! For each text: what is found on each surface, and a digest of what the learned models see of it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    reason = "a tool for developers, run by hand: it may stop at what is not as it should be"
)]

#[path = "support/mod.rs"]
mod support;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io::{BufWriter, Write},
    path::Path,
};

use inspect::{Inspector, Settings, Surface, learned::Sample};
use support::load;

const FOLDERS: &[&str] = &[
    "benign",
    "injection",
    "pii",
    "secrets",
    "tool_benign",
    "tool_poison",
];

fn main() {
    let folder = std::env::args().nth(1);
    let folder = folder.unwrap_or_else(|| panic!("name the folder of the unpacked data"));
    let inspector = Inspector::new(&Settings::default()).unwrap();
    let mut out = BufWriter::new(std::io::stdout().lock());
    let texts: Vec<String> = load(Path::new(&folder), FOLDERS)
        .into_iter()
        .map(|record| record.text)
        .collect();
    for (n, text) in texts.iter().enumerate() {
        say(&inspector, &format!("{n} whole"), text, &mut out);
        say(&inspector, &format!("{n} broken"), &broken(text, n), &mut out);
    }
    // More than a window at once.
    for (n, texts) in texts.chunks(97).enumerate() {
        say(&inspector, &format!("{n} together"), &texts.join("\n"), &mut out);
    }
}

/// The text with some characters in the place of others, always the same.
fn broken(text: &str, n: usize) -> String {
    const INSTEAD: &[char] = &[
        '\u{200b}',
        '%',
        '@',
        '-',
        '=',
        ':',
        '\u{430}',
        '7',
        ' ',
        '\n',
        '"',
        '\\',
        '&',
        'A',
        '\u{e9}',
        '.',
        '_',
        '\u{e0041}',
        '#',
        '\'',
        '\u{4e2d}',
        '/',
    ];
    let mut random = u64::try_from(n).unwrap().wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % 1_000_003).unwrap()
    };
    let from = next() % (text.len() + 1);
    let from = (0..=from)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    let turned = format!("{}{}", &text[from..], &text[..from]);
    turned
        .chars()
        .map(|c| {
            if next() % 23 == 0 {
                INSTEAD.get(next() % INSTEAD.len()).copied().unwrap_or(c)
            } else {
                c
            }
        })
        .collect()
}

fn say(inspector: &Inspector, name: &str, text: &str, out: &mut impl Write) {
    for surface in Surface::ALL {
        for found in inspector.inspect_text(text, surface).iter() {
            let (span, score) = (&found.location.span, found.score.get().to_bits());
            let line = format!(
                "{name} {} {} {span:?} {score:08x}",
                surface.as_str(),
                found.detector
            );
            writeln!(out, "{line} {:?} {}", found.kind, found.note).unwrap();
        }
    }
    let sample = Sample::new(text);
    let mut hasher = DefaultHasher::new();
    (sample.words, sample.places, sample.windows).hash(&mut hasher);
    writeln!(out, "{name} {:016x}", hasher.finish()).unwrap();
}
