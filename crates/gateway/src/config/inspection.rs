//! What detectors know besides: kinds of values of one's own, and findings that are let pass.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use inspect::{Check, FindingKind, Inspector, OwnKind, Pass, Settings};
use serde::Deserialize;

use super::Problem;

/// What detectors know besides.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidInspection {
    /// Kinds of values of one's own, by name; findings say `own/NAME`.
    #[serde(default)]
    pub(crate) kinds: BTreeMap<String, SaidKind>,
    /// Findings that are let pass.
    #[serde(default)]
    pub(crate) pass: Vec<SaidPass>,
}

/// A kind of value.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidKind {
    /// A regular expression without look-around or references back. The group `(?P<value>...)` is the value.
    pub(crate) pattern: String,
    /// `luhn`, `mod97`, `entropy` or `none` (the default): what a match must satisfy besides.
    pub(crate) check: Option<String>,
    /// `personal` (the default) or `secret`: what rules take it for.
    pub(crate) counts: Option<String>,
}

/// A finding that is let pass where all that is named agrees: a server or a value, at least.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidPass {
    /// The detector, such as `secret/named-value`, or all of a sort: `secret`.
    pub(crate) detector: Option<String>,
    /// The server.
    pub(crate) server: Option<String>,
    /// The tool, by its name at the server.
    pub(crate) tool: Option<String>,
    /// `sha256:` and the digest of the value as it is written, in hexadecimal.
    pub(crate) value: Option<String>,
}

/// What detectors know besides; settings that make no inspector are problems.
pub(super) fn mean(said: &SaidInspection, note: &mut impl FnMut(Result<(), Problem>)) -> Settings {
    let mut settings = Settings {
        digest: Some(sha256),
        ..Settings::default()
    };
    for (name, said) in &said.kinds {
        match kind(name, said) {
            Ok(kind) => settings.kinds.push(kind),
            Err(problem) => note(Err(problem)),
        }
    }
    for (n, said) in said.pass.iter().enumerate() {
        match pass(n, said) {
            Ok(pass) => settings.passes.push(pass),
            Err(problem) => note(Err(problem)),
        }
    }
    settings
}

fn kind(name: &str, said: &SaidKind) -> Result<OwnKind, Problem> {
    let at = |part: &str| format!("inspection.kinds.{name}{part}");
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        let remedy = "write letters, digits and hyphens";
        return Err(Problem::new(at(""), "findings cannot be called so", remedy));
    }
    let word = said.check.as_deref().unwrap_or("none");
    let check = Check::ALL
        .into_iter()
        .find(|check| check.as_str() == word)
        .ok_or_else(|| {
            let known = Check::ALL.map(Check::as_str).join(", ");
            Problem::new(
                at(".check"),
                format!("there is no check `{word}`"),
                format!("use one of: {known}"),
            )
        })?;
    let counts_as = match said.counts.as_deref().unwrap_or("personal") {
        "personal" => FindingKind::Personal,
        "secret" => FindingKind::Secret,
        other => {
            let what = format!("a value cannot count as `{other}`");
            return Err(Problem::new(at(".counts"), what, "write `personal` or `secret`"));
        }
    };
    let kind = OwnKind {
        name: name.to_owned(),
        pattern: said.pattern.clone(),
        check,
        counts_as,
    };
    match Inspector::check(&kind) {
        Ok(()) => Ok(kind),
        Err(error) => {
            let remedy = "write a regular expression without look-around or references back, not too large";
            Err(Problem::new(at(".pattern"), error.to_string(), remedy))
        }
    }
}

fn pass(n: usize, said: &SaidPass) -> Result<Pass, Problem> {
    let at = |part: &str| format!("inspection.pass[{n}]{part}");
    if said.server.is_none() && said.value.is_none() {
        let what = "what is let pass from every server, whatever it is, is not looked for";
        return Err(Problem::new(
            at(""),
            what,
            "name a server or the digest of a value",
        ));
    }
    let value = match said.value.as_deref() {
        None => None,
        Some(text) => Some(read_digest(text).ok_or_else(|| {
            let remedy = "write `sha256:` and 64 hexadecimal digits: `printf %s VALUE | sha256sum`";
            Problem::new(at(".value"), "this is no digest", remedy)
        })?),
    };
    Ok(Pass {
        detector: said.detector.clone(),
        server: said.server.clone(),
        tool: said.tool.clone(),
        value,
    })
}

fn read_digest(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix("sha256:").filter(|digits| digits.len() == 64)?;
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

fn sha256(value: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, value).as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::{SaidInspection, mean, sha256};

    fn problems(text: &str) -> Vec<String> {
        let said: SaidInspection = serde_json::from_str(text).expect("a configuration");
        let mut problems = Vec::new();
        mean(&said, &mut |noted| {
            if let Err(problem) = noted {
                problems.push(problem.at);
            }
        });
        problems
    }

    #[test]
    fn what_would_find_or_let_pass_anything_is_a_problem() {
        let wrong = r#"{"kinds": {"a b": {"pattern": "x"}, "loop": {"pattern": "(a)\\1"},
            "all": {"pattern": "x*"}, "check": {"pattern": "x", "check": "sum"},
            "sort": {"pattern": "x", "counts": "injection"}},
            "pass": [{}, {"detector": "secret", "tool": "t"}, {"value": "abc"}]}"#;
        assert_eq!(
            problems(wrong),
            [
                "inspection.kinds.a b",
                "inspection.kinds.all.pattern",
                "inspection.kinds.check.check",
                "inspection.kinds.loop.pattern",
                "inspection.kinds.sort.counts",
                "inspection.pass[0]",
                "inspection.pass[1]",
                "inspection.pass[2].value",
            ]
        );
    }

    #[test]
    fn a_value_is_known_by_the_digest_that_sha256sum_writes() {
        // printf %s abc | sha256sum
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(
            super::read_digest(&format!("sha256:{digest}")),
            Some(sha256(b"abc"))
        );
        let right = r#"{"kinds": {"patient": {"pattern": "PN-\\d{8}", "check": "luhn"}},
            "pass": [{"server": "docs", "detector": "secret"}]}"#;
        assert!(problems(right).is_empty());
    }
}
