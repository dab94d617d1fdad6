//! Where rules come from: written out, in files, in short, or in a signed bundle.

use std::path::PathBuf;

use policy::rules::short;
use serde::Deserialize;

use super::{Problem, reference::Lookup};
use crate::registry::bundle::{Bundle, Envelope, SignerKey};

/// Rules.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidPolicy {
    /// Bundled rules; `[baseline]` unless said.
    pub(crate) packs: Option<Vec<String>>,
    /// The version of the rules. Whoever gives one must raise it with every change, and cannot go back.
    pub(crate) version: Option<u64>,
    /// A signed bundle of rules, made by `sallyport policy sign`, in the place of all that follows and of `packs` and
    /// `version`.
    pub(crate) bundle: Option<PathBuf>,
    /// The public keys (PEM, Ed25519) it may be signed by.
    #[serde(default)]
    pub(crate) keys: Vec<PathBuf>,
    /// How many different ones must have signed it; 1 unless said.
    pub(crate) signatures: Option<usize>,
    /// Rules, in Cedar.
    #[serde(default)]
    pub(crate) rules: Vec<String>,
    /// Files of rules, relative to this file.
    #[serde(default)]
    pub(crate) files: Vec<PathBuf>,
    /// Who may use what, in short: `role:doctor on charts__read_* for treatment`.
    #[serde(default)]
    pub(crate) allow: Vec<String>,
    /// Who may not use what: `anyone on mail__* because mail is off`.
    #[serde(default)]
    pub(crate) forbid: Vec<String>,
    /// What must be so: `approval by role:approver 2 of anyone on pay__*`.
    #[serde(default)]
    pub(crate) require: Vec<String>,
}

/// A purpose.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidPurpose {
    /// The word callers declare.
    pub(crate) name: String,
    /// For people who read the file.
    #[serde(default, rename = "description")]
    _description: String,
    /// The tools it covers, as in `policy.allow`, and servers as `server:NAME`; everything unless said.
    pub(crate) tools: Option<Vec<String>>,
    /// What covered tools may do: `read`, `write`, `egress`, `destructive`, `unknown`; anything unless said.
    pub(crate) sinks: Option<Vec<String>>,
    /// The kinds of data it covers; all unless said.
    pub(crate) categories: Option<Vec<String>>,
}

/// The rules of a signed bundle, which stands alone: what is not signed is no part of it. Within: why it cannot be used.
pub(super) fn bundle(
    policy: &SaidPolicy,
    lookup: &Lookup<'_>,
    files: &mut Vec<PathBuf>,
) -> Result<Result<Bundle, Problem>, Problem> {
    let problem = |at: &str, what: String, remedy: &str| Problem::new(format!("policy.{at}"), what, remedy);
    let Some(path) = &policy.bundle else {
        let what = "there are keys and no bundle that they have signed".to_owned();
        return Err(problem("keys", what, "add `bundle`, or take `keys` out"));
    };
    let path = lookup.path(&path.display().to_string());
    files.push(path.clone());
    for (beside, is_there) in [
        ("packs", policy.packs.is_some()),
        ("version", policy.version.is_some()),
        ("rules", !policy.rules.is_empty()),
        ("files", !policy.files.is_empty()),
        ("allow", !policy.allow.is_empty()),
        ("forbid", !policy.forbid.is_empty()),
        ("require", !policy.require.is_empty()),
    ] {
        if is_there {
            let what = "nobody has signed what stands beside a bundle".to_owned();
            return Err(problem(
                beside,
                what,
                "put it into the bundle: sallyport policy sign",
            ));
        }
    }
    let mut keys = Vec::new();
    for (n, key) in policy.keys.iter().enumerate() {
        let key = lookup.path(&key.display().to_string());
        files.push(key.clone());
        let key = SignerKey::read(&key);
        let remedy = "name a public key in PEM: openssl pkey -in KEY -pubout";
        keys.push(key.map_err(|what| problem(&format!("keys[{n}]"), what, remedy))?);
    }
    let needed = policy.signatures.unwrap_or(1);
    if needed == 0 || keys.len() < needed {
        let what = format!("{needed} signatures by {} keys cannot be", keys.len());
        return Err(problem("signatures", what, "name the keys under `keys`"));
    }
    let failed = |what: String| {
        let what = format!("{}: {what}", path.display());
        problem(
            "bundle",
            what,
            "see `sallyport policy verify`; sign with a key of `keys`",
        )
    };
    let text = std::fs::read(&path).map_err(|error| error.to_string());
    let opened = text.and_then(Envelope::parse);
    let opened = opened.and_then(|envelope| envelope.open(&keys, needed));
    Ok(opened.map_err(failed))
}

/// The lines of the short form, in Cedar.
pub(super) fn short_rules(policy: &SaidPolicy) -> Vec<Result<(String, String), Problem>> {
    let lists = [
        ("allow", short::Kind::Allow, &policy.allow),
        ("forbid", short::Kind::Forbid, &policy.forbid),
        ("require", short::Kind::Require, &policy.require),
    ];
    let lines = lists.into_iter().flat_map(|(key, kind, lines)| {
        let named = lines.iter().enumerate();
        named.map(move |(n, line)| (format!("policy.{key}[{n}]"), kind, line))
    });
    let rules = lines.map(|(at, kind, line)| match short::expand(kind, &at, line) {
        Ok(source) => Ok((source.name, source.text)),
        Err(error) => Err(Problem::new(at, error.what, error.remedy)),
    });
    rules.collect()
}

/// What each purpose does not cover, as rules.
pub(super) fn purpose_rules(purposes: &[SaidPurpose]) -> Vec<Result<(String, String), Problem>> {
    let rule = |said: &SaidPurpose| {
        let at = format!("purposes.{}", said.name);
        let covers = short::Covers {
            what: said.tools.as_deref(),
            sinks: said.sinks.as_deref(),
            categories: said.categories.as_deref(),
        };
        match short::purpose(&at, &said.name, covers) {
            Ok(source) => source.map(|source| Ok((source.name, source.text))),
            Err(error) => Some(Err(Problem::new(at, error.what, error.remedy))),
        }
    };
    purposes.iter().filter_map(rule).collect()
}
