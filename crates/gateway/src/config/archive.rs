//! Where a copy of the ledger is kept, object by object.

use std::{path::PathBuf, time::Duration};

use hyper::Uri;
use serde::Deserialize;

use super::{
    Problem,
    authorization::Switch,
    meant::is_here,
    records::duration,
    reference::{Lookup, Reference},
};

/// How often the copy is brought up to date unless said.
const EVERY: Duration = Duration::from_secs(60);
const REGION: &str = "us-east-1";

/// A copy of the ledger in S3-compatible storage.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidArchive {
    /// `s3://BUCKET` or `s3://BUCKET/PREFIX`. The log's name is added, so that replicas may share it.
    pub(crate) to: String,
    /// `https://HOST`, with a port if need be: Amazon's of the region unless said. Without TLS only on this machine.
    pub(crate) endpoint: Option<String>,
    /// `us-east-1` unless said.
    pub(crate) region: Option<String>,
    /// The id of the access key.
    pub(crate) key: String,
    /// Its secret, as `file:PATH` (read anew each time), `env:NAME` or `keyring:NAME`.
    pub(crate) secret: String,
    /// The certificate of the authority that vouches for the endpoint, if that is not a public one.
    pub(crate) authority: Option<PathBuf>,
    /// `off`: hashes alone are copied, which prove and tell nothing. `on` unless said: entries, too.
    pub(crate) entries: Option<Switch>,
    /// How often: `60s` unless said.
    pub(crate) every: Option<String>,
    /// The version that was copied can be neither changed nor deleted before its time (S3 Object Lock).
    pub(crate) lock: Option<SaidLock>,
}

/// How long nobody may change what was copied.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidLock {
    /// `governance`, or `compliance`: not even the owner of the account may.
    pub(crate) mode: LockMode,
    /// `30d`, `7y`.
    pub(crate) retain: String,
}

/// Whom a lock keeps out.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum LockMode {
    Compliance,
    Governance,
}

/// A copy of the ledger.
#[derive(Clone, Debug)]
pub(crate) struct MeantArchive {
    pub(crate) endpoint: String,
    pub(crate) region: String,
    pub(crate) bucket: String,
    /// Empty, or ends with a slash.
    pub(crate) prefix: String,
    pub(crate) key: String,
    pub(crate) secret: Reference,
    pub(crate) authority: Option<PathBuf>,
    pub(crate) entries: Switch,
    pub(crate) every: Duration,
    pub(crate) lock: Option<(LockMode, Duration)>,
}

pub(super) fn mean(said: &SaidArchive, lookup: &Lookup<'_>) -> Result<MeantArchive, Problem> {
    let at = |name: &str| format!("archive.{name}");
    let unknown = || {
        Problem::new(
            at("to"),
            "it is no place in S3",
            "write `s3://BUCKET/PREFIX`, of letters, digits, `-`, `_`, `.` and `/`",
        )
    };
    let place = said.to.strip_prefix("s3://").ok_or_else(unknown)?;
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let prefix = prefix.trim_end_matches('/');
    // Whatever needs no escaping in a path, so that what is signed is what is sent.
    let fits = |text: &str| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let is_path = |text: &str| {
        text.split('/')
            .all(|part| fits(part) && !matches!(part, "" | "." | ".."))
    };
    if bucket.is_empty() || !fits(bucket) || !(prefix.is_empty() || is_path(prefix)) {
        return Err(unknown());
    }
    let region = said.region.as_deref().unwrap_or(REGION);
    let name = |name: &str, text: &str| {
        let remedy = "use letters, digits, `-`, `_`, `.`";
        let is_name = !text.is_empty() && fits(text);
        is_name
            .then(|| text.to_owned())
            .ok_or_else(|| Problem::new(at(name), "it is empty or has other characters", remedy))
    };
    let region = name("region", region)?;
    let lock = said.lock.as_ref().map(|lock| {
        let retain = duration(&lock.retain).ok_or_else(|| {
            let what = format!("`{}` is no length of time", lock.retain.escape_debug());
            Problem::new(at("lock.retain"), what, "write it as `30d` or `7y`")
        })?;
        Ok((lock.mode, retain))
    });
    let every = said.every.as_deref().map(|text| {
        duration(text).ok_or_else(|| {
            let what = format!("`{}` is no length of time", text.escape_debug());
            Problem::new(at("every"), what, "write it as `60s` or `5m`")
        })
    });
    Ok(MeantArchive {
        endpoint: endpoint(said.endpoint.as_deref(), &region)?,
        bucket: bucket.to_owned(),
        prefix: if prefix.is_empty() {
            String::new()
        } else {
            format!("{prefix}/")
        },
        key: name("key", &said.key)?,
        secret: lookup.reference(&at("secret"), &said.secret)?,
        authority: said
            .authority
            .as_ref()
            .map(|path| lookup.path(&path.display().to_string())),
        entries: said.entries.unwrap_or(Switch::On),
        every: every.transpose()?.unwrap_or(EVERY),
        lock: lock.transpose()?,
        region,
    })
}

fn endpoint(said: Option<&str>, region: &str) -> Result<String, Problem> {
    let Some(said) = said else {
        return Ok(format!("https://s3.{region}.amazonaws.com"));
    };
    let wrong = |what| {
        Problem::new(
            "archive.endpoint",
            what,
            "write `https://HOST:PORT`, without a path",
        )
    };
    let uri: Uri = said.parse().map_err(|_| wrong("it is no address"))?;
    let authority = uri.authority().ok_or_else(|| wrong("it is no address"))?;
    if authority.as_str().contains('@') || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(wrong("it is more than an address"));
    }
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if is_here(authority.as_str()) => {}
        _ => return Err(wrong("the ledger goes through TLS, except on this machine")),
    }
    Ok(said.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn meant(yaml: &str) -> Result<MeantArchive, String> {
        let said: SaidArchive = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
        let lookup = Lookup::new(&|_| None, Path::new("/etc"));
        mean(&said, &lookup).map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_place_is_a_bucket_reached_by_tls_with_a_secret_elsewhere() {
        let rest = "key: AKIAEXAMPLE, secret: \"file:s3\"";
        let usual = meant(&format!("{{ to: \"s3://logs\", {rest} }}")).unwrap();
        assert_eq!(
            (usual.endpoint.as_str(), usual.prefix.as_str()),
            ("https://s3.us-east-1.amazonaws.com", "")
        );
        let under = meant(&format!(
            "{{ to: \"s3://logs/a/b/\", region: eu-1, every: 5m, {rest} }}"
        ))
        .unwrap();
        assert_eq!((under.bucket.as_str(), under.prefix.as_str()), ("logs", "a/b/"));
        for (yaml, what) in [
            (format!("{{ to: \"https://logs\", {rest} }}"), "no place in S3"),
            (
                format!("{{ to: \"s3://logs/../other\", {rest} }}"),
                "no place in S3",
            ),
            (
                format!("{{ to: \"s3://logs\", endpoint: \"http://s3.local\", {rest} }}"),
                "goes through TLS",
            ),
            (
                format!("{{ to: \"s3://logs\", endpoint: \"https://a:b@s3\", {rest} }}"),
                "more than an address",
            ),
            (
                format!("{{ to: \"s3://logs\", lock: {{ mode: compliance, retain: long }}, {rest} }}"),
                "length of time",
            ),
            (
                "{ to: \"s3://logs\", key: A, secret: hunter2hunter2 }".to_owned(),
                "stands in the file itself",
            ),
        ] {
            let why = meant(&yaml).unwrap_err();
            assert!(why.contains(what) && !why.contains("hunter2"), "{yaml}: {why}");
        }
    }
}
