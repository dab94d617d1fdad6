//! The version of the operator's rules. Whoever gives them one may not go back: rules that were loosened by an old
//! file, a restored backup or half a deployment are refused, and so are other rules under the same version.
//!
//! It must not know what rules mean; it compares numbers and digests.

use policy::rules::{RuleSet, RuleSource};
use wire::json::{Document, Keys, Node, object};

use crate::{config::Meant, failure::Failure, storage::store::Store};

/// Where the version in force is kept.
const TABLE: &str = "policy";
const KEY: &str = "version";
/// Where it is kept which rules were in force last.
const LAST: &str = "last";

/// What is written in the store: the version in force and the rules it stands for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Version {
    number: u64,
    /// Of the operator's own rules and the names of packs: what packs say changes with the gateway.
    digest: String,
}

/// Whether rules may follow those in force; the version to keep if they have one.
pub(crate) fn may_follow(store: &Store, meant: &Meant) -> Result<Option<Version>, Failure> {
    let last = last(store)?;
    let refuse = |what: String| Err(Failure::configuration(format!("policy.version: {what}")));
    let (number, last) = match (meant.version, last) {
        (None, None) => return Ok(None),
        (None, Some(last)) => {
            let (was, next) = (last.number, last.number.saturating_add(1));
            return refuse(format!(
                "it is gone, and rules of version {was} were in force; write {next}"
            ));
        }
        (Some(number), last) => (number, last),
    };
    let this = Version {
        number,
        digest: digest(meant)?,
    };
    match last {
        Some(last) if last.number > number => refuse(format!(
            "{number} is older than {}, which was in force; to go back to what rules said, write it under {}",
            last.number,
            last.number.saturating_add(1)
        )),
        Some(last) if last.number == number && last.digest != this.digest => refuse(format!(
            "these are other rules than were in force as {number}; write {}",
            number.saturating_add(1)
        )),
        Some(_) | None => Ok(Some(this)),
    }
}

/// Remembers what comes into force, before it does.
pub(crate) fn keep(store: &Store, version: Option<&Version>) -> Result<(), Failure> {
    let Some(version) = version else {
        return Ok(());
    };
    let text = object(|out| {
        out.string("digest", &version.digest);
        out.integer("number", version.number);
    });
    let kept = store.put(TABLE, KEY, &text);
    kept.map_err(|error| Failure::other(error.to_string()))
}

/// Remembers which rules are in force: a gateway that ran with them starts with them, though a server has changed since.
pub(crate) fn stands(store: &Store, meant: &Meant) -> Result<(), Failure> {
    let kept = store.put(TABLE, LAST, digest(meant)?.as_bytes());
    kept.map_err(|error| Failure::other(error.to_string()))
}

/// Whether these rules were in force last.
pub(crate) fn stood(store: &Store, meant: &Meant) -> Result<bool, Failure> {
    let kept = store.get(TABLE, LAST);
    let kept = kept.map_err(|error| Failure::other(error.to_string()))?;
    Ok(kept.is_some_and(|kept| kept == digest(meant).unwrap_or_default().as_bytes()))
}

fn last(store: &Store) -> Result<Option<Version>, Failure> {
    let kept = store.get(TABLE, KEY);
    let Some(kept) = kept.map_err(|error| Failure::other(error.to_string()))? else {
        return Ok(None);
    };
    let read = || {
        let document = Document::parse(kept, Keys::Exact, &wire::bounds::REQUEST).ok()?;
        let root = document.root();
        Some(Version {
            number: root.get("number").and_then(Node::as_number)?.as_u64()?,
            digest: root.get("digest")?.as_str()?.into_owned(),
        })
    };
    let version = read().ok_or_else(|| Failure::other("the stored version of the rules cannot be read"))?;
    Ok(Some(version))
}

fn digest(meant: &Meant) -> Result<String, Failure> {
    let sources: Vec<RuleSource> = meant
        .rules
        .iter()
        .map(|(name, text)| RuleSource {
            name: name.clone(),
            text: text.clone(),
        })
        .collect();
    let rules = RuleSet::parse(&sources);
    let rules = rules.map_err(|errors| Failure::configuration(errors.to_string()))?;
    Ok(format!("{} {}", rules.digest(), meant.packs.join(" ")))
}
