//! Secrets that servers are started with: kept in the sealed store by name, asked for when a process starts, each
//! principal's own where the reference says so.
//!
//! A reference is `vault:NAME`; in it, `{user}` and `{agent}` stand for whoever the process is started for. It stands in
//! `env` alone: what is in arguments, everybody on the machine can read.

use pipeline::ports::Caller;
use wire::mcp::ServerName;
use zeroize::Zeroizing;

use crate::storage::store::{Store, StoreError};

/// How a reference begins.
pub(crate) const SCHEME: &str = "vault:";
/// The store's table.
const TABLE: &str = "secrets";
/// The longest name, and the longest secret.
const NAME_BYTES_MAX: usize = 256;
pub(crate) const SECRET_BYTES_MAX: usize = 64 * 1024;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    /// The name is none.
    #[error(
        "`{0}` is no name of a secret: letters, digits and `-._@/` are, at most {NAME_BYTES_MAX} of them"
    )]
    Name(String),
    /// It is empty, or too long.
    #[error("a secret has 1 to {SECRET_BYTES_MAX} bytes and no NUL; pipe it to this command")]
    Value,
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a reference names, before it is known for whom.
pub(crate) fn template(reference: &str) -> Result<String, Unfit> {
    let name = reference.strip_prefix(SCHEME).unwrap_or(reference);
    fit(&name.replace("{user}", "u").replace("{agent}", "a"))?;
    Ok(name.to_owned())
}

/// Whether a reference names another secret for each principal.
pub(crate) fn is_of_callers(reference: &str) -> bool {
    reference.contains("{user}") || reference.contains("{agent}")
}

fn fit(name: &str) -> Result<(), Unfit> {
    let letters = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-._@/".contains(c));
    let parts = name.split('/').all(|part| !part.is_empty());
    if letters && parts && name.len() <= NAME_BYTES_MAX {
        Ok(())
    } else {
        Err(Unfit::Name(
            name.chars()
                .take(NAME_BYTES_MAX)
                .flat_map(char::escape_debug)
                .collect(),
        ))
    }
}

/// Keeps a secret.
pub(crate) fn set(store: &Store, name: &str, value: &str) -> Result<(), Unfit> {
    fit(name)?;
    if value.is_empty() || value.len() > SECRET_BYTES_MAX || value.contains('\0') {
        return Err(Unfit::Value);
    }
    Ok(store.put(TABLE, name, value.as_bytes())?)
}

/// Removes one; says whether it was there.
pub(crate) fn remove(store: &Store, name: &str) -> Result<Option<()>, StoreError> {
    if store.get(TABLE, name)?.is_none() {
        return Ok(None);
    }
    store.delete(TABLE, name)?;
    Ok(Some(()))
}

/// The names of all.
pub(crate) fn names(store: &Store) -> Result<Vec<String>, StoreError> {
    let all = store.list(TABLE)?;
    Ok(all
        .into_iter()
        .map(|(name, value)| {
            drop(Zeroizing::new(value));
            name
        })
        .collect())
}

/// The variables a process is started with, as pairs of names and values. The gateway's own process, that only says what
/// the server offers, has none of any caller's.
pub(crate) fn given(
    store: &Store,
    server: &ServerName,
    caller: Option<&Caller>,
    wanted: &[(String, String)],
) -> Result<Vec<(String, Zeroizing<String>)>, String> {
    let mut given = Vec::new();
    for (variable, template) in wanted {
        let name = match (is_of_callers(template), caller) {
            (false, _) => template.clone(),
            (true, None) => continue,
            (true, Some(caller)) => filled(template, caller)?,
        };
        let value = store.get(TABLE, &name).map_err(|error| error.to_string())?;
        let value = value.map(Zeroizing::new).ok_or_else(|| {
            format!("`{server}` wants the secret `{name}`, which is not there: `sallyport secret set {name}`")
        })?;
        let value = std::str::from_utf8(&value).map_err(|_| format!("the secret `{name}` is no text"))?;
        given.push((variable.clone(), Zeroizing::new(value.to_owned())));
    }
    Ok(given)
}

/// The name for one caller. A user whose name has a `/` in it could be somebody else's name and a part of it.
fn filled(template: &str, caller: &Caller) -> Result<String, String> {
    let principal = &caller.principal;
    let actor = principal.actor();
    let user = match actor.kind {
        identity::ActorKind::User => Some(actor.name.as_str()),
        identity::ActorKind::Agent | identity::ActorKind::Service => principal.for_user(),
    };
    let mut name = template.to_owned();
    for (mark, who) in [("{user}", user), ("{agent}", Some(actor.name.as_str()))] {
        if template.contains(mark) {
            let who = who.ok_or("its secret is each user's own, and nobody is behind this caller")?;
            if who.contains('/') || fit(who).is_err() {
                return Err(format!("no secret can be named after `{}`", who.escape_debug()));
            }
            name = name.replace(mark, who);
        }
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::{fit, is_of_callers, template};

    #[test]
    fn names_are_plain() {
        for good in [
            "github",
            "alice/github",
            "a.b@c-d_e".trim_end_matches("_e"),
            "x/y/z",
        ] {
            assert!(fit(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/x",
            "x/",
            "a//b",
            "a b",
            "a\nb",
            "{user}",
            "ä",
            &"x".repeat(257),
        ] {
            assert!(fit(bad).is_err(), "{bad}");
        }
        assert_eq!(template("vault:{user}/github").unwrap(), "{user}/github");
        assert!(template("vault:{users}/github").is_err());
        assert!(template("vault:").is_err());
        assert!(is_of_callers("{user}/x") && is_of_callers("{agent}/x") && !is_of_callers("x"));
    }
}
