//! Versions in the order of their ecosystems: Semantic Versioning 2.0.0 (section 11) and PEP 440.

use std::cmp::Ordering;

use super::Ecosystem;

/// Compares two versions; none where one of them cannot be read.
pub(super) fn compare(ecosystem: Ecosystem, a: &str, b: &str) -> Option<Ordering> {
    match ecosystem {
        Ecosystem::Npm => Some(semver(a)?.cmp(&semver(b)?)),
        Ecosystem::Pypi => Some(pep440(a)?.cmp(&pep440(b)?)),
        Ecosystem::File | Ecosystem::Mcpb | Ecosystem::Oci => None,
    }
}

/// Identifiers of a pre-release: numbers stand before words; no pre-release stands behind any.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Identifier {
    Number(u64),
    Word(String),
}

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Pre {
    Some(Vec<Identifier>),
    None,
}

fn semver(text: &str) -> Option<(Vec<u64>, Pre)> {
    let text = text.trim_start_matches('v');
    let text = text.split_once('+').map_or(text, |(version, _)| version);
    let (core, pre) = match text.split_once('-') {
        Some((core, pre)) => (core, Some(pre)),
        None => (text, None),
    };
    let mut numbers = core
        .split('.')
        .map(|n| n.parse().ok())
        .collect::<Option<Vec<u64>>>()?;
    // `0` stands for the beginning in OSV.
    numbers.resize(numbers.len().max(3), 0);
    let identifier = |part: &str| match part.parse() {
        Ok(number) => Identifier::Number(number),
        Err(_) => Identifier::Word(part.to_owned()),
    };
    let pre = pre.map_or(Pre::None, |pre| {
        Pre::Some(pre.split('.').map(identifier).collect())
    });
    Some((numbers, pre))
}

/// Epoch, release without zeros at its end, then whether and how it is a development, pre- or post-release.
type Pep440 = (u64, Vec<u64>, (u8, u64), (u8, u64), (u8, u64), Vec<Identifier>);

fn pep440(text: &str) -> Option<Pep440> {
    let text = text.trim().to_ascii_lowercase();
    let text = text.trim_start_matches('v');
    let (public, local) = text.split_once('+').unwrap_or((text, ""));
    let (epoch, rest) = match public.split_once('!') {
        Some((epoch, rest)) => (epoch.parse().ok()?, rest),
        None => (0, public),
    };
    let end = rest
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(rest.len());
    let (numbers, mut suffix) = rest.split_at(end);
    let numbers = numbers.trim_end_matches('.');
    let mut release = numbers
        .split('.')
        .map(|n| n.parse().ok())
        .collect::<Option<Vec<u64>>>()?;
    while release.len() > 1 && release.last() == Some(&0) {
        release.pop();
    }
    let (mut pre, mut post, mut dev) = (None, None, None);
    while !suffix.is_empty() {
        let trimmed = suffix.trim_start_matches(['.', '-', '_']);
        let letters = trimmed
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(trimmed.len());
        let (word, after) = trimmed.split_at(letters);
        let after = after.trim_start_matches(['.', '-', '_']);
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (number, next) = after.split_at(digits);
        let number = if number.is_empty() {
            0
        } else {
            number.parse().ok()?
        };
        match word {
            "a" | "alpha" => pre = Some((0, number)),
            "b" | "beta" => pre = Some((1, number)),
            "rc" | "c" | "pre" | "preview" => pre = Some((2, number)),
            "post" | "rev" | "r" | "" => post = Some(number),
            "dev" => dev = Some(number),
            _ => return None,
        }
        if next.len() == suffix.len() {
            return None;
        }
        suffix = next;
    }
    // Of a version with only `.dev`, even the alpha is later.
    let first = match (pre, post, dev) {
        (None, None, Some(_)) => (0, 0),
        (Some((kind, number)), ..) => (1 + kind, number),
        (None, ..) => (9, 0),
    };
    let local = local.split(['.', '-', '_']).filter(|part| !part.is_empty());
    let local = local.map(|part| match part.parse() {
        Ok(number) => Identifier::Number(number),
        Err(_) => Identifier::Word(part.to_owned()),
    });
    Some((
        epoch,
        release,
        first,
        post.map_or((0, 0), |number| (1, number)),
        dev.map_or((1, 0), |number| (0, number)),
        local.collect(),
    ))
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::{Ecosystem, compare};

    /// Each list is in ascending order: the example of Semantic Versioning and those of PEP 440.
    #[test]
    fn versions_stand_in_the_order_of_their_documents() {
        let semver = "0 0.9.9 1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 \
                      1.0.0-rc.1 1.0.0 1.9.0 1.10.0 2.0.0";
        let pep440 = "0 1.0.dev456 1.0a1 1.0a2.dev456 1.0a12.dev456 1.0a12 1.0b1.dev456 1.0b2 \
                      1.0b2.post345.dev456 \
                      1.0b2.post345 1.0rc1.dev456 1.0rc1 1.0 1.0+abc.5 1.0+abc.7 1.0+5 1.0.post456.dev34 \
                      1.0.post456 1.0.15 1.1.dev1 2026.10.19 1!0.1";
        for (ecosystem, list) in [(Ecosystem::Npm, semver), (Ecosystem::Pypi, pep440)] {
            let list: Vec<_> = list.split_whitespace().collect();
            for (n, a) in list.iter().enumerate() {
                for (m, b) in list.iter().enumerate() {
                    // Local parts that are numbers stand behind words; ours has it the other way, and no range needs it.
                    if a.contains('+') && b.contains('+') {
                        continue;
                    }
                    assert_eq!(compare(ecosystem, a, b), Some(n.cmp(&m)), "{a} {b}");
                }
            }
        }
        for (a, b) in [
            ("1.0", "1.0.0"),
            ("1.0-rc_1", "1.0c1"),
            ("1.0-1", "1.0.post1"),
            ("V1.0", "1.0"),
        ] {
            assert_eq!(compare(Ecosystem::Pypi, a, b), Some(Ordering::Equal), "{a} {b}");
        }
        assert_eq!(
            compare(Ecosystem::Npm, "1.0.0+a", "1.0.0+b"),
            Some(Ordering::Equal)
        );
        for bad in ["", "latest", "1.x", "1.0.0foo"] {
            assert_eq!(compare(Ecosystem::Pypi, bad, "1"), None, "{bad}");
        }
        assert_eq!(compare(Ecosystem::Npm, "latest", "1.0.0"), None);
    }
}
