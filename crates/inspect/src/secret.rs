//! Credentials.

use crate::{
    FindingKind, SettingsError,
    pattern::{Patterns, Rule, any},
};

const KIND: FindingKind = FindingKind::Secret;

const RULES: [Rule; 4] = [
    Rule {
        detector: "secret/aws-access-key",
        kind: KIND,
        pattern: r"\b(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b",
        score: 0.9,
        check: is_varied,
        note: "AWS access key id",
    },
    Rule {
        detector: "secret/github-token",
        kind: KIND,
        pattern: r"\bgh[pousr]_[A-Za-z0-9]{36}\b",
        score: 0.95,
        check: is_varied,
        note: "GitHub token",
    },
    Rule {
        detector: "secret/private-key",
        kind: KIND,
        pattern: r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY(?: BLOCK)?-----[\sA-Za-z0-9+/=]{32,}",
        score: 0.95,
        check: any,
        note: "private key",
    },
    Rule {
        detector: "secret/jwt",
        kind: KIND,
        pattern: r"\bey[A-Za-z0-9_-]{14,}\.ey[A-Za-z0-9_-]{14,}\.[A-Za-z0-9_-]{10,}",
        score: 0.85,
        check: any,
        note: "JSON web token",
    },
];

pub(crate) fn detector() -> Result<Patterns, SettingsError> {
    Patterns::new("secret/rules", &RULES)
}

/// Whether a token has the variety of a random one, as `AKIAAAAAAAAAAAAAAAAA` has not.
fn is_varied(token: &str) -> bool {
    let mut bytes: Vec<u8> = token.bytes().collect();
    bytes.sort_unstable();
    bytes.dedup();
    bytes.len() >= 8
}
