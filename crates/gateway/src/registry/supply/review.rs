//! What a person should know of a package before approving it. Nothing here decides.

use std::cmp::min;

use super::{Artefact, Ecosystem, Locked};

/// Packages that many people use, `ecosystem name` a line.
const WELL_KNOWN: &str = include_str!("well-known.txt");
/// From how many packages on a lock is worth a word.
const MANY: usize = 100;

/// What to say of an artefact.
pub(super) fn of(artefact: &Artefact) -> Vec<String> {
    let mut said: Vec<String> = resembles(artefact.ecosystem, &artefact.name)
        .into_iter()
        .collect();
    let with_scripts: Vec<&Locked> = artefact.lock.iter().filter(|one| one.scripts).collect();
    if !with_scripts.is_empty() {
        let names: Vec<&str> = with_scripts.iter().take(5).map(|one| one.name.as_str()).collect();
        let more = if with_scripts.len() > names.len() {
            ", ..."
        } else {
            ""
        };
        said.push(format!(
            "{} of its packages have installation scripts, which were not run: {}{more}",
            with_scripts.len(),
            names.join(", ")
        ));
    }
    if artefact.lock.len() >= MANY {
        said.push(format!("it needs {} packages", artefact.lock.len() - 1));
    }
    said
}

/// The well-known package a name could be mistaken for.
pub(crate) fn resembles(ecosystem: Ecosystem, name: &str) -> Option<String> {
    let known = || {
        let lines = WELL_KNOWN.lines().filter_map(|line| line.split_once(' '));
        lines
            .filter(|(of, _)| *of == ecosystem.as_str())
            .map(|(_, name)| name)
    };
    if known().next().is_none() || known().any(|known| known == name) {
        return None;
    }
    let own = skeleton(name);
    let found = known().find(|known| {
        let other = skeleton(known);
        let far = if other.len() >= 16 { 2 } else { 1 };
        let long_enough = min(own.len(), other.len()) >= 5;
        own == other || long_enough && distance(&own, &other) <= far || borrows(name, known)
    })?;
    Some(format!(
        "`{name}` could be mistaken for `{found}`, which many people use; make sure which one is meant"
    ))
}

/// The own name of a well-known scope's package, under another scope or none.
fn borrows(name: &str, known: &str) -> bool {
    let own = |name: &str| match name.split_once('/') {
        Some((_, own)) => own.to_owned(),
        None => name.to_owned(),
    };
    // `mcp` alone is anybody's.
    known.starts_with('@') && own(known).contains('-') && own(known) == own(name)
}

/// A name without what eyes pass over: case, separators, digits that look like letters, pairs that look like one.
fn skeleton(name: &str) -> Vec<char> {
    let lower = name.to_lowercase().replace("rn", "m").replace("vv", "w");
    let letters = lower.chars().filter_map(|c| match c {
        '-' | '_' | '.' => None,
        '0' => Some('o'),
        '1' | 'i' | '|' => Some('l'),
        '5' => Some('s'),
        '3' => Some('e'),
        c => Some(c),
    });
    letters.collect()
}

/// Edits, and swaps of neighbours, from one text to another (Damerau and Levenshtein, restricted).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (n, of_a) in a.iter().enumerate() {
        let mut row = vec![n + 1];
        for (m, of_b) in b.iter().enumerate() {
            let at = |row: &[usize], m: usize| row.get(m).copied().unwrap_or(usize::MAX - 1);
            let mut best = min(at(&last, m + 1), at(&row, m)) + 1;
            best = min(best, at(&last, m) + usize::from(of_a != of_b));
            let swapped = n > 0 && m > 0 && a.get(n - 1) == Some(of_b) && b.get(m - 1) == Some(of_a);
            if swapped {
                best = min(best, at(&before, m - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use super::{Ecosystem, resembles};

    #[test]
    fn names_that_could_be_mistaken_are_said() {
        for name in [
            "@modelcontextprotocal/server-filesystem",
            "@modelcontextprotocol/server-filesystern",
            "@modelcontextprotocol/server-fi1esystem",
            "@evil/server-filesystem",
            "server-filesystem",
            "@modelcontextprotocol/server_filesystem",
            "mcp-rernote",
            "mcp-remtoe",
        ] {
            assert!(resembles(Ecosystem::Npm, name).is_some(), "{name}");
        }
        for name in ["mcp_server_git", "mcp-server-gti", "fastrncp"] {
            let said = resembles(Ecosystem::Pypi, name);
            assert!(said.is_some(), "{name}");
        }
        for name in [
            "@modelcontextprotocol/server-filesystem",
            "mcp-remote",
            "@acme/charts",
            "left-pad",
            "@acme/mcp",
        ] {
            assert_eq!(resembles(Ecosystem::Npm, name), None, "{name}");
        }
        assert_eq!(resembles(Ecosystem::Pypi, "mcp-server-git"), None);
        assert_eq!(resembles(Ecosystem::File, "mcp-server-gti"), None);
    }

    #[test]
    fn well_known_names_are_not_each_others_forgeries() {
        for (of, ecosystem) in [("npm", Ecosystem::Npm), ("pypi", Ecosystem::Pypi)] {
            let names = super::WELL_KNOWN.lines().filter_map(|line| line.split_once(' '));
            for (_, name) in names.filter(|(is, _)| *is == of) {
                assert_eq!(resembles(ecosystem, name), None);
            }
        }
    }
}
