//! Values that look like others of their kind: same form, right check digits, nobody's.
//!
//! A candidate is drawn in the form of the original and taken when our own detector would take it for the
//! same kind, so whatever a validator checks that the detector checks holds, without a rule for each kind.

use crate::{Inspector, Score, Surface};

/// What a pseudonym is to look like.
#[derive(Clone, Copy, Debug)]
pub struct Like<'l> {
    /// The detector that found it, such as `personal/iban`.
    pub detector: &'l str,
    /// The value.
    pub original: &'l str,
    /// The text before it: some kinds are known by the words around them.
    pub before: &'l str,
}

/// Draws before any value of the form is good enough; a check digit takes about ten, two of them a hundred.
const DRAWS_MAX: usize = 2_000;
/// Bytes of the text before that are read.
const BEFORE_BYTES: usize = 48;
/// Without the letters and digits that are taken for each other.
const LETTERS: &[u8] = b"23456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Another value of the same kind, from random numbers. It is never the original.
pub fn pseudonym(inspector: &Inspector, like: &Like<'_>, mut draw: impl FnMut() -> u64) -> String {
    let mut label = |prefix: &str| format!("{prefix}-{}", letters(6, &mut draw));
    match like.detector {
        "personal/name" => return label("P"),
        "personal/address" => return label("A"),
        "personal/email" => return format!("{}@pseudonym.example", label("p").to_ascii_lowercase()),
        "personal/ip-address" if like.original.contains(':') => {
            return format!("2001:db8::{:x}:{:x}", draw() % 0xFFFF + 1, draw() % 0xFFFF + 1);
        }
        // RFC 2544: nobody's.
        "personal/ip-address" => return format!("198.18.{}.{}", draw() % 256, draw() % 256),
        _ => {}
    }
    if !like.original.bytes().any(|byte| byte.is_ascii_digit()) {
        return label("X");
    }
    let start = crate::view::floor(like.before, like.before.len().saturating_sub(BEFORE_BYTES));
    let before = like.before.get(start..).unwrap_or_default();
    let checked = is_taken(inspector, like.detector, before, like.original);
    for _ in 0..DRAWS_MAX {
        let candidate = shaped(like, &mut draw);
        let good = !checked || is_taken(inspector, like.detector, before, &candidate);
        if good && candidate != like.original {
            return candidate;
        }
    }
    format!("X-{}", letters(6, &mut draw))
}

/// Whether the detector takes a value for its kind behind these words.
fn is_taken(inspector: &Inspector, detector: &str, before: &str, value: &str) -> bool {
    let text = format!("{before}{value}");
    let findings = inspector.inspect_text(&text, Surface::Result);
    findings.iter().any(|finding| {
        let span = &finding.location.span;
        finding.detector == detector
            && finding.score >= Score::new(0.5)
            && span.start <= before.len()
            && span.end >= text.trim_end().len()
    })
}

/// Digits for digits and letters for letters; what is a country or a brand stays.
fn shaped(like: &Like<'_>, draw: &mut impl FnMut() -> u64) -> String {
    let digits = like.original.bytes().filter(u8::is_ascii_digit).count();
    let mut keep = match like.detector {
        "personal/credit-card" | "personal/iban" => 2,
        // The country and the area: what a number is dialled by.
        "personal/phone" => digits.saturating_sub(7),
        _ => 0,
    };
    let hex = like.detector == "personal/mac-address";
    like.original
        .chars()
        .map(|c| {
            if !c.is_ascii_alphanumeric() {
                return c;
            }
            if keep > 0 {
                keep -= 1;
                return c;
            }
            let among: &[u8] = match c {
                '0' => b"0123456789",
                '1'..='9' => b"123456789",
                'a'..='z' if hex => b"abcdef",
                'A'..='Z' if hex => b"ABCDEF",
                'a'..='z' => b"abcdefghijklmnopqrstuvwxyz",
                _ => b"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
            };
            one(among, draw)
        })
        .collect()
}

fn letters(count: usize, draw: &mut impl FnMut() -> u64) -> String {
    (0..count).map(|_| one(LETTERS, draw)).collect()
}

fn one(among: &[u8], draw: &mut impl FnMut() -> u64) -> char {
    let count = u64::try_from(among.len()).unwrap_or(1).max(1);
    let at = usize::try_from(draw() % count).unwrap_or(0);
    among.get(at).map_or('0', |byte| char::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    fn numbers() -> impl FnMut() -> u64 {
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        }
    }

    #[test]
    fn a_pseudonym_is_of_the_kind_and_form_of_what_it_stands_for() {
        let inspector = Inspector::new(&Settings::default()).unwrap();
        let mut draw = numbers();
        for (detector, before, original) in [
            ("personal/credit-card", "card ", "4111 1111 1111 1111"),
            ("personal/iban", "IBAN ", "DE89370400440532013000"),
            ("personal/us-ssn", "SSN ", "536-90-4399"),
            ("personal/phone", "call ", "+1 415-555-2671"),
            ("personal/email", "mail ", "ann@clinic.org"),
            ("personal/ip-address", "from ", "192.0.2.17"),
            ("personal/es-identity", "DNI ", "55555555K"),
        ] {
            assert!(is_taken(&inspector, detector, before, original), "{original}");
            let like = Like {
                detector,
                original,
                before,
            };
            let found = pseudonym(&inspector, &like, &mut draw);
            assert_ne!(found, original);
            assert!(
                is_taken(&inspector, detector, before, &found),
                "{detector}: {found}"
            );
        }
    }
}
