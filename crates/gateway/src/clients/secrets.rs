//! Which texts of a client's file are secrets, and where they are put instead: one file each, that only its
//! owner can read. In doubt a text is one; a harmless text in a file of its own harms nobody.

use std::{
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::failure::Failure;

/// Parts of names that announce a secret.
const PARTS: [&str; 9] = [
    "TOKEN",
    "SECRET",
    "PASSW",
    "APIKEY",
    "CREDENTIAL",
    "PRIVATE",
    "COOKIE",
    "SIGNATURE",
    "CONNECTIONSTRING",
];
/// Whole words of names that do.
const WORDS: [&str; 11] = [
    "KEY",
    "KEYS",
    "PAT",
    "PW",
    "PWD",
    "PASS",
    "DSN",
    "AUTH",
    "AUTHORIZATION",
    "BEARER",
    "JWT",
];
/// How well-known secrets begin.
const PREFIXES: [&str; 22] = [
    "sk-",
    "sk_",
    "pk_",
    "rk_",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "github_pat_",
    "glpat-",
    "xox",
    "xapp-",
    "AKIA",
    "ASIA",
    "AIza",
    "ya29.",
    "eyJ",
    "hf_",
    "npm_",
    "lin_",
    "Bearer ",
    "-----BEGIN",
];
/// From this length on a mixture of letters and digits is taken for a secret.
const RANDOM_CHARS_MIN: usize = 20;

/// Whether a text under this name must not stand in a file that others may read.
pub(super) fn is_secret(name: &str, text: &str) -> bool {
    let plain = text.is_empty() || matches!(text, "true" | "false");
    let number = text.len() < 7 && text.bytes().all(|byte| byte.is_ascii_digit());
    let counts = name.to_ascii_uppercase().contains("TOKENS") && number;
    !plain && !counts && (names_a_secret(name) || looks_secret(text))
}

/// Whether an argument is one: by itself, after a flag that says so, or as `NAME=TEXT` and `Name: text`.
pub(super) fn is_secret_argument(before: Option<&str>, text: &str) -> bool {
    let flag = before.filter(|flag| flag.starts_with('-') && !flag.contains('=') && !text.starts_with('-'));
    let named = flag.is_some_and(|flag| is_secret(flag, text));
    let pair = ['=', ':']
        .iter()
        .filter_map(|mark| text.split_once(*mark))
        .any(|(name, value)| {
            let short = !name.contains(['/', ' ']);
            short && !value.starts_with('/') && is_secret(name, value.trim())
        });
    named || pair || looks_secret(text)
}

fn names_a_secret(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let joined: String = upper.chars().filter(char::is_ascii_alphanumeric).collect();
    let mut words = upper.split(|c: char| !c.is_ascii_alphanumeric());
    PARTS.iter().any(|part| joined.contains(part)) || words.any(|word| WORDS.contains(&word))
}

pub(super) fn looks_secret(text: &str) -> bool {
    if PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
        return true;
    }
    if let Some((_, rest)) = text.split_once("://") {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let query = rest.split_once('?').map(|(_, query)| query).unwrap_or_default();
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        return authority
            .split_once('@')
            .is_some_and(|(user, _)| user.contains(':'))
            || pairs.into_iter().any(|(name, value)| is_secret(name, value))
            || rest.split(['/', '?', '#']).any(looks_random);
    }
    !text.contains('/') && looks_random(text)
}

/// Long, and letters and digits mixed without a pattern a person would choose.
fn looks_random(text: &str) -> bool {
    let good = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_.+=~".contains(c));
    let switches = text.as_bytes().windows(2).filter(|pair| match pair {
        [a, b] => a.is_ascii_digit() != b.is_ascii_digit(),
        _ => false,
    });
    good && text.len() >= RANDOM_CHARS_MIN && !text.contains('@') && switches.count() >= 5
}

/// The secrets of one import: where they go, and what is written.
#[derive(Debug)]
pub(crate) struct Keeping {
    root: PathBuf,
    /// Files and what goes into them.
    pub(crate) files: Vec<(PathBuf, String)>,
}

impl Keeping {
    /// Below a data directory.
    pub(crate) fn below(data: &Path) -> Self {
        Self {
            root: data.join("secrets"),
            files: Vec::new(),
        }
    }

    /// Takes a secret and gives the reference that stands for it. The same secret has the same file again.
    pub(super) fn take(&mut self, server: &str, name: &str, text: &str) -> String {
        let good = |c: char| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '-'
            }
        };
        let name: String = name.chars().map(good).collect();
        let place = |n: u32| {
            let name = if n == 1 {
                name.clone()
            } else {
                format!("{name}-{n}")
            };
            self.root.join(server).join(name)
        };
        let taken = |path: &PathBuf| {
            let planned = self
                .files
                .iter()
                .find(|(other, _)| other == path)
                .map(|(_, held)| held.clone());
            planned.or_else(|| {
                path.exists()
                    .then(|| std::fs::read_to_string(path).unwrap_or_default())
            })
        };
        let free = |path: &PathBuf| taken(path).is_none_or(|held| held == text);
        let path = (1..1000).map(place).find(free).unwrap_or_else(|| place(1000));
        if !self.files.iter().any(|(other, _)| *other == path) && !path.exists() {
            self.files.push((path.clone(), text.to_owned()));
        }
        format!("file:{}", path.display())
    }

    /// Writes them; on failure those written are removed again.
    pub(crate) fn write(&self) -> Result<(), Failure> {
        for (path, text) in &self.files {
            let written = write_private(path, text.as_bytes());
            if let Err(error) = written {
                self.remove();
                return Err(Failure::configuration(format!(
                    "cannot write {}: {error}; make the directory writable for you. Nothing was changed",
                    path.display()
                )));
            }
        }
        Ok(())
    }

    /// Removes what was written.
    pub(crate) fn remove(&self) {
        for (path, _) in &self.files {
            forget(path);
        }
    }
}

/// Removes a secret, and its folder when it was the last in it.
pub(super) fn forget(path: &Path) {
    let _ = std::fs::remove_file(path);
    if let Some(folder) = path.parent() {
        let _ = std::fs::remove_dir(folder);
    }
}

/// Writes a new file that only its owner can read, in folders only the owner can enter.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
