//! Values that stand where a text speaks of a credential: `token = ...`, `"api_key": "..."`, `stripe ...`.

use std::{collections::HashSet, ops::Range};

use regex::Regex;

use super::check::{entropy, is_hex, is_placeholder, is_random, is_uuid};
use crate::{SettingsError, pattern::any_of};

/// Bytes before a value in which its name is looked for.
const BEFORE: usize = 64;
/// Shortest value that counts by its name.
const VALUE_MIN: usize = 10;

/// Shortest value that counts without two digits.
pub(super) const LETTERS_MIN: usize = 20;

/// What names a credential.
const NAMES: &[&str] = &[
    "key",
    "token",
    "secret",
    "passw",
    "pwd",
    "auth",
    "bearer",
    "credential",
    "apikey",
    "api",
    "access",
    "private",
    "passphrase",
    "signing",
    "webhook",
    "cookie",
    "session",
    "pass",
    "login",
    "client",
    "account",
    "basic",
    "psk",
    "sid",
];

/// What names a credential even where its value could be that of anything.
const STRICT_NAMES: &[&str] = &["key", "token", "secret", "passw", "credential"];

/// What a long number of another sort is called.
const OTHER: &[&str] = &[
    "checksum",
    "integrity",
    "sha1",
    "sha2",
    "sha5",
    "sha-",
    "digest",
    "hash",
    "md5",
    "commit",
    "revision",
    "blake",
    "resolved",
    "fingerprint",
    "etag",
    "version",
    "uuid",
    "guid",
    "image",
    "public",
    "tarball",
    "rev=",
    "ref=",
];

/// Services that give out credentials.
const VENDORS: &str = include_str!("vendors.txt");

/// The services by name, and what names a credential or a number of another sort.
#[derive(Debug)]
pub(super) struct Vendors {
    services: HashSet<&'static str>,
    /// What they begin with, sorted: most words do not.
    beginnings: Vec<[u8; 3]>,
    names: Regex,
    other: Regex,
}

impl Vendors {
    pub(super) fn new() -> Result<Self, SettingsError> {
        let beginning = |service: &str| service.as_bytes().first_chunk().copied();
        let mut beginnings: Vec<_> = VENDORS.split_whitespace().filter_map(beginning).collect();
        beginnings.sort_unstable();
        Ok(Self {
            services: VENDORS.split_whitespace().collect(),
            beginnings,
            names: any_of("secret/named-value", NAMES.iter().copied())?,
            other: any_of("secret/named-value", OTHER.iter().copied())?,
        })
    }

    /// Whether a text names a service.
    fn any(&self, text: &str) -> bool {
        text.split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| self.has(word))
    }

    /// Whether a word is or begins with the name of a service.
    fn has(&self, word: &str) -> bool {
        let beginning = word.as_bytes().first_chunk();
        beginning.is_some_and(|beginning| self.beginnings.binary_search(beginning).is_ok())
            && (3..=word.len().min(24)).any(|length| {
                word.get(..length)
                    .is_some_and(|start| self.services.contains(start))
            })
    }
}

/// The value in a run that is called a credential, from the start of the run.
pub(super) fn value(text: &str, start: usize, run: &str, vendors: &Vendors) -> Option<(usize, usize)> {
    // A run may hold its own name: token=..., key:...
    let (own, place) = own_name(run);
    let value = run.get(place.clone())?;
    if value.len() < VALUE_MIN || !is_made_up(value, VALUE_MIN) && !is_uuid(value) || is_placeholder(value) {
        return None;
    }
    let before = crate::view::floor(text, start.saturating_sub(BEFORE));
    let line = text.get(before..start)?;
    let line = line.rsplit('\n').next().unwrap_or(line);
    let around = format!("{line}{own}").to_ascii_lowercase();
    if vendors.other.is_match(&around) || is_path(value) {
        return None;
    }
    let named = vendors.names.is_match(&around);
    let assigned = own.ends_with(['=', ':'])
        || around
            .trim_end()
            .ends_with(['=', ':', '"', '\'', '`', '>', '(', ',']);
    let vendor = (named || value.len() >= 20) && vendors.any(&around);
    let found = if is_uuid(value) {
        (named && vendor) || (assigned && STRICT_NAMES.iter().any(|name| around.contains(name)))
    } else if named && vendor {
        value.len() >= VALUE_MIN && is_made_up(value, 12)
    } else if named && assigned {
        is_made_up(value, 16) && entropy(value) >= 2.8 && (!is_name(value) || is_random(value))
    } else if named {
        value.len() >= 20 && is_random(value) && entropy(value) >= 3.0
    } else if vendor {
        let in_path = is_hex(value) && around.contains('/');
        is_made_up(value, 20) && !is_name(value) && entropy(value) >= 2.8 && !in_path
    } else {
        false
    };
    found.then_some((place.start, place.len()))
}

/// The name a run begins with, if it has one, and where the value stands.
fn own_name(run: &str) -> (&str, Range<usize>) {
    let trimmed = run.trim_end_matches(['.', ':', '=', ',']).len();
    let end = if run.len() - trimmed <= 2 && run.ends_with('=') {
        run.len()
    } else {
        trimmed
    };
    let body = run.get(..trimmed).unwrap_or(run);
    match body.rfind(['=', ':']) {
        Some(at) => (run.get(..=at).unwrap_or_default(), at + 1..end),
        None => ("", 0..end),
    }
}

/// Names with slashes or dots are paths, hosts and versions.
fn is_path(value: &str) -> bool {
    let slashes = value.matches('/').count();
    let dots = value.matches('.').count();
    value.starts_with(['/', '.'])
        || value.contains("//")
        || (slashes >= 1 && dots >= 1)
        || slashes * 10 > value.len()
        || dots >= 3
        || value.ends_with(".rs")
        || value.ends_with(".py")
        || value.ends_with(".js")
        || value.ends_with(".com")
}

/// Whether a value has digits among its letters, or changes case as no word does.
fn is_made_up(value: &str, least: usize) -> bool {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let (mut letters, mut cases, mut before) = (0, 0, None);
    for letter in value.bytes().filter(u8::is_ascii_alphabetic) {
        let upper = letter.is_ascii_uppercase();
        letters += 1;
        cases += usize::from(before.is_some_and(|before| before != upper));
        before = Some(upper);
    }
    let mixed = cases * 5 >= letters * 2 && value.len() >= LETTERS_MIN && !is_name(value);
    value.len() >= least && (digits >= 4 || (digits >= 2 && is_random(value)) || mixed)
}

/// Words joined by underscores, dots or hyphens.
fn is_name(value: &str) -> bool {
    let parts = value.split(['_', '.', '-', '/', ':']);
    let words = parts
        .filter(|part| part.len() >= 2 && part.bytes().all(|b| b.is_ascii_alphabetic()))
        .count();
    words >= 2 || value.contains("::")
}
