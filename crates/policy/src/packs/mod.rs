//! Ready-made rules. A pack is data: Cedar in `crates/policy/packs`, and the tests that say what it does.

use thiserror::Error;

use crate::rules::RuleSource;

/// A set of rules to begin with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pack {
    /// The name configuration uses.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    files: &'static [File],
}

/// A source of a pack. Several packs may hold the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct File {
    name: &'static str,
    text: &'static str,
}

macro_rules! file {
    ($name:literal) => {
        File {
            name: concat!("pack:", $name),
            text: include_str!(concat!("../../packs/", $name)),
        }
    };
}

const COMMON: File = file!("common.cedar");
const FLOWS_REFUSE: File = file!("flows-refuse.cedar");

/// Every pack, in order of their names.
pub const PACKS: &[Pack] = &[
    Pack {
        name: "baseline",
        summary: "connect and get answers, and nothing flows where it must not; grants no tool",
        files: &[COMMON, FLOWS_REFUSE],
    },
    Pack {
        name: "developer-workstation",
        summary: "the role `owner` uses every approved tool, and is asked where `baseline` refuses",
        files: &[COMMON, file!("flows-ask.cedar"), file!("owner.cedar")],
    },
    Pack {
        name: "finance",
        summary: "`baseline`, four eyes on payments, a wall between what is known and what is traded",
        files: &[COMMON, FLOWS_REFUSE, file!("finance.cedar")],
    },
    Pack {
        name: "healthcare",
        summary: "`baseline`, a purpose for every use, own patients only, break-glass with review",
        files: &[COMMON, FLOWS_REFUSE, file!("healthcare.cedar")],
    },
    Pack {
        name: "saas-multitenant",
        summary: "`baseline`, and nobody reaches what is another tenant's",
        files: &[COMMON, FLOWS_REFUSE, file!("saas-multitenant.cedar")],
    },
];

/// A name that is no pack's.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("there is no policy pack `{name}`; there are {known}", known = names())]
pub struct UnknownPack {
    /// The name.
    pub name: String,
}

/// The sources of some packs, each once.
///
/// # Errors
/// When a name is no pack's.
pub fn sources<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Vec<RuleSource>, UnknownPack> {
    let mut chosen: Vec<&File> = Vec::new();
    for name in names {
        let pack = PACKS.iter().find(|pack| pack.name == name);
        let pack = pack.ok_or_else(|| UnknownPack {
            name: name.to_owned(),
        })?;
        for file in pack.files {
            if !chosen.contains(&file) {
                chosen.push(file);
            }
        }
    }
    let source = |file: &File| RuleSource {
        name: file.name.to_owned(),
        text: file.text.to_owned(),
    };
    Ok(chosen.into_iter().map(source).collect())
}

/// Whether a source of rules is of a pack.
#[must_use]
pub fn is_pack(source: &str) -> bool {
    let mut files = PACKS.iter().flat_map(|pack| pack.files);
    files.any(|file| file.name == source)
}

fn names() -> String {
    let names: Vec<_> = PACKS.iter().map(|pack| pack.name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;
