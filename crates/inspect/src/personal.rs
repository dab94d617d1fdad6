//! Data about persons.

use crate::{
    FindingKind, SettingsError,
    pattern::{Patterns, Rule, any},
};

const KIND: FindingKind = FindingKind::Personal;

const RULES: [Rule; 3] = [
    Rule {
        detector: "personal/email",
        kind: KIND,
        pattern: r"\b[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b",
        score: 0.9,
        check: any,
        note: "e-mail address",
    },
    Rule {
        detector: "personal/credit-card",
        kind: KIND,
        pattern: r"\b[3-6]\d{3}[ -]?\d{4}[ -]?\d{4}[ -]?\d{1,7}\b",
        score: 0.9,
        check: is_luhn,
        note: "payment card number",
    },
    Rule {
        detector: "personal/us-ssn",
        kind: KIND,
        pattern: r"\b\d{3}-\d{2}-\d{4}\b",
        score: 0.6,
        check: is_issued_ssn,
        note: "social security number (US)",
    },
];

pub(crate) fn detector() -> Result<Patterns, SettingsError> {
    Patterns::new("personal/rules", &RULES)
}

/// ISO/IEC 7812-1 annex B.
fn is_luhn(text: &str) -> bool {
    let digits = text.chars().rev().filter_map(|c| c.to_digit(10));
    let sum: u32 = digits
        .enumerate()
        .map(|(n, digit)| match (n % 2, digit) {
            (1, 5..) => digit * 2 - 9,
            (1, _) => digit * 2,
            _ => digit,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Area 000, 666 and 900 to 999, group 00 and serial 0000 were never issued.
fn is_issued_ssn(text: &str) -> bool {
    let mut parts = text.split('-');
    let (area, group, serial) = (parts.next(), parts.next(), parts.next());
    area.is_some_and(|a| a != "000" && a != "666" && !a.starts_with('9'))
        && group != Some("00")
        && serial != Some("0000")
}
