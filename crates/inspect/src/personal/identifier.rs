//! Words of letters and digits: account numbers, identity cards, addresses of machines.

use std::ops::Range;

use regex::Regex;

use super::{Known, Near, check, known, papers};
use crate::{SettingsError, learned, pattern::any_of, view::View};

/// Longest identifier in one word.
const WORD_MAX: usize = 64;
/// Shortest word that has a form of its own; most words with digits are shorter.
const FORM_MIN: usize = 7;

const COIN: [&str; 5] = ["btc", "bitcoin", "wallet", "address", "crypto"];
const DRIVER: [&str; 4] = ["driver", "licence", "license", "dl#"];
const DRIVES: [&str; 1] = ["driv"];
const RECORD: [&str; 6] = [
    "mrn",
    "medical record",
    "health record",
    "patient id",
    "member id",
    "policy number",
];

/// Finds identifiers.
#[derive(Debug)]
pub(super) struct Identifiers {
    /// All words that may stand near one.
    words: Regex,
}

impl Identifiers {
    pub(super) fn new() -> Result<Self, SettingsError> {
        let words = papers::words()
            .chain(COIN)
            .chain(DRIVER)
            .chain(DRIVES)
            .chain(RECORD);
        let words = any_of("personal/identifiers", words)?;
        Ok(Self { words })
    }

    /// Finds all identifiers of a text.
    pub(super) fn look(&self, view: &View<'_>, add: &mut impl FnMut(Known, Range<usize>)) {
        let text = view.text();
        let bytes = text.as_bytes();
        let mut done = 0;
        for (_, word) in view.with_digits() {
            let first = learned::place(word).start;
            if first < done {
                continue;
            }
            let joined = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b':');
            let before = bytes
                .get(done..first)
                .unwrap_or_default()
                .iter()
                .rev()
                .take(WORD_MAX)
                .take_while(joined)
                .count();
            let after = bytes
                .get(first..)
                .unwrap_or_default()
                .iter()
                .take(WORD_MAX)
                .take_while(joined)
                .count();
            let place = first - before..first + after.max(1);
            done = place.end;
            if let Some((known, place)) =
                spaced(text, &place).or_else(|| identifier(text, &place, &self.words))
            {
                done = done.max(place.end);
                add(known, place);
            }
        }
    }
}

/// An IBAN may be written in groups.
fn spaced(text: &str, place: &Range<usize>) -> Option<(Known, Range<usize>)> {
    let bytes = text.as_bytes();
    let head = text.get(place.start..place.start + 4)?.as_bytes();
    let (letters, digits) = head.split_at_checked(2)?;
    if !letters.iter().all(u8::is_ascii_alphabetic) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut end = place.start;
    let mut best = None;
    let mut count = 0;
    for byte in bytes.get(place.start..)?.iter().take(44) {
        if byte.is_ascii_alphanumeric() {
            count += 1;
        } else if !matches!(byte, b' ' | b'-') {
            break;
        }
        end += 1;
        let over = bytes.get(end).is_none_or(|next| !next.is_ascii_alphanumeric());
        if byte.is_ascii_alphanumeric() && over && count >= 15 && check::iban(text.get(place.start..end)?) {
            best = Some(end);
        }
    }
    best.map(|end| {
        (
            known("personal/iban", 0.95, "bank account (IBAN)"),
            place.start..end,
        )
    })
}

/// The shape of a word: 9 for a digit, A for a letter, others as they are.
fn shape(word: &str) -> String {
    word.chars()
        .map(|c| match c {
            '0'..='9' => '9',
            'A'..='Z' => 'A',
            'a'..='z' => 'a',
            other => other,
        })
        .collect()
}

fn identifier(text: &str, place: &Range<usize>, words: &Regex) -> Option<(Known, Range<usize>)> {
    let word = text.get(place.clone())?.trim_end_matches([':', '-']);
    let place = place.start..place.start + word.len();
    let found = |known: Known| Some((known, place.clone()));
    let around = Near::new(text, &place, words);
    let near = |words: &[&str]| around.has(words);
    // What goes on after a dot is no address of version 6.
    let rest = text.get(place.end..).unwrap_or_default();
    if rest.starts_with('.') && rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    if word.contains(':') || word.len() == 17 && word.matches('-').count() == 5 {
        return found(machine(word)?);
    }
    if word.len() > 24 {
        if check::bech32(word) {
            return found(known("personal/crypto", 0.7, "address of a crypto currency"));
        }
        let coin = word.starts_with(['1', '3'])
            && (26..=35).contains(&word.len())
            && !word.contains(['0', 'O', 'I', 'l']);
        return if coin && near(&COIN) {
            found(known("personal/crypto", 0.6, "address of a crypto currency"))
        } else {
            None
        };
    }
    if word.len() < FORM_MIN {
        return found(by_context(word, near)?);
    }
    let upper = word.to_ascii_uppercase();
    match shape(&upper).as_str() {
        "99999999A" | "99999999-A" | "A9999999A" | "A9999999-A" if check::spanish(&upper) => {
            found(known("personal/es-identity", 0.7, "NIF or NIE (Spain)"))
        }
        "A9999999A" if upper.starts_with(['S', 'T', 'F', 'G', 'M']) && check::nric(&upper) => {
            found(known("personal/sg-nric", 0.7, "NRIC or FIN (Singapore)"))
        }
        "999999-999A" | "999999A999A" | "999999-9999" | "999999A9999" if check::finnish(&upper) => {
            found(known("personal/fi-identity", 0.7, "identity code (Finland)"))
        }
        "AA999999A" if upper.ends_with(['A', 'B', 'C', 'D']) && is_insured(&upper) => {
            found(known("personal/uk-nino", 0.6, "national insurance number (UK)"))
        }
        "AAAAA9999A" if upper.as_bytes().get(3).is_some_and(|b| b"ABCFGHLJPT".contains(b)) => {
            found(known("personal/in-pan", 0.6, "PAN (India)"))
        }
        "AAAAAA99A99A999A" => found(known("personal/it-fiscal-code", 0.8, "fiscal code (Italy)")),
        "9AA9-AA9-AA99" | "9AA9AA9AA99" | "9A99-A99-AA99" | "9AA9-A99-AA99" | "9A99-AA9-AA99"
            if !upper.contains(['S', 'L', 'O', 'I', 'B', 'Z']) =>
        {
            found(known("personal/us-mbi", 0.7, "Medicare number (US)"))
        }
        "99AAAAA9999A9A9" => found(known("personal/in-gstin", 0.6, "GSTIN (India)")),
        form => match papers::paper(form, &upper, near) {
            Some(known) => found(known),
            None => found(by_context(word, near)?),
        },
    }
}

/// Prefixes that were never given out.
fn is_insured(upper: &str) -> bool {
    let prefix = upper.get(..2).unwrap_or_default();
    !prefix.contains(['D', 'F', 'I', 'Q', 'U', 'V'])
        && !prefix.ends_with('O')
        && !matches!(prefix, "BG" | "GB" | "KN" | "NK" | "NT" | "TN" | "ZZ")
}

/// Numbers without a form of their own: the words around say what they are.
fn by_context(word: &str, near: impl Fn(&[&str]) -> bool) -> Option<Known> {
    if digits_of(word) < 5 {
        return None;
    }
    if word.len() >= 6 && near(&DRIVER) && near(&DRIVES) {
        return Some(known("personal/driving-licence", 0.6, "driving licence number"));
    }
    near(&RECORD).then_some(known(
        "personal/medical-record",
        0.6,
        "medical record or plan number",
    ))
}

fn digits_of(word: &str) -> usize {
    word.bytes().filter(u8::is_ascii_digit).count()
}

/// IPv6 and hardware addresses.
fn machine(word: &str) -> Option<Known> {
    if word.parse::<std::net::Ipv6Addr>().is_ok() && word.len() > 6 {
        return Some(known("personal/ip-address", 0.7, "address of a computer"));
    }
    let pairs: Vec<&str> = word.split([':', '-']).collect();
    let hardware = pairs.len() == 6
        && pairs
            .iter()
            .all(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()))
        // All of them the same is nobody's, or everybody's.
        && pairs.iter().any(|pair| Some(pair) != pairs.first());
    hardware.then_some(known("personal/mac-address", 0.6, "hardware address"))
}
