//! Who is asked for a second opinion, and what it counts for when there is none.

use std::time::Duration;

use hyper::Uri;
use identity::Secret;
use serde::Deserialize;

use super::{Problem, reference::Lookup};
use crate::known::issuers::Network;

/// How long a judge may take at most, in seconds: calls wait for it.
const WAIT_S_MAX: u64 = 9;

/// A model that rules may ask (`@judge`), by the chat completions of OpenAI, which most programs speak that run models.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidJudge {
    /// Where: `https://HOST/v1/chat/completions`; on this machine `http`, too.
    pub(crate) url: String,
    /// Which model.
    pub(crate) model: String,
    /// Its key: `env:NAME` or `file:PATH`. None unless said.
    pub(crate) key: Option<String>,
    /// `private` where the host is in a network of one's own.
    pub(crate) network: Option<String>,
    /// Seconds it may take; 5 unless said.
    pub(crate) timeout: Option<u64>,
    /// What it counts for when it does not answer, or says neither yes nor no: `refuse` (the default) or `ignore`.
    pub(crate) otherwise: Option<String>,
}

/// What no answer counts for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Otherwise {
    /// The rules decide alone.
    Ignore,
    /// No.
    Refuse,
}

/// See [`SaidJudge`].
#[derive(Clone)]
pub(crate) struct MeantJudge {
    pub(crate) url: String,
    pub(crate) model: String,
    pub(crate) key: Option<Secret>,
    pub(crate) network: Network,
    pub(crate) wait: Duration,
    pub(crate) otherwise: Otherwise,
}

impl std::fmt::Debug for MeantJudge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MeantJudge")
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

pub(super) fn mean(said: &SaidJudge, lookup: &Lookup<'_>) -> Result<MeantJudge, Problem> {
    let at = |key: &str| format!("judge.{key}");
    let remedy = "write https://HOST/v1/chat/completions; http only where it runs on this machine";
    let network = network("judge", &said.url, said.network.as_deref(), remedy)?;
    let otherwise = otherwise("judge", said.otherwise.as_deref())?;
    let wait = wait("judge", said.timeout)?;
    let key = said
        .key
        .as_deref()
        .map(|key| lookup.secret(&at("key"), key).map(Secret::presented))
        .transpose()?;
    Ok(MeantJudge {
        url: said.url.clone(),
        model: said.model.clone(),
        key,
        network,
        wait,
        otherwise,
    })
}

/// Where a model may be: anywhere over https, and on this machine over http, too.
pub(super) fn network(at: &str, url: &str, said: Option<&str>, remedy: &str) -> Result<Network, Problem> {
    let uri: Option<Uri> = url.parse().ok();
    let uri = uri.filter(|uri| {
        uri.authority()
            .is_some_and(|authority| !authority.as_str().contains('@'))
    });
    let is_here = uri
        .as_ref()
        .and_then(Uri::host)
        .is_some_and(|host| ["127.0.0.1", "[::1]", "localhost"].contains(&host));
    let scheme = uri.as_ref().and_then(Uri::scheme_str);
    if !(scheme == Some("https") || scheme == Some("http") && is_here) {
        return Err(Problem::new(
            format!("{at}.url"),
            "no model can be asked there",
            remedy,
        ));
    }
    match said {
        Some("private") => Ok(Network::Private),
        None | Some("public") if is_here => Ok(Network::Private),
        None | Some("public") => Ok(Network::Public),
        Some(other) => {
            let what = format!("there is no network `{}`", other.escape_debug());
            let remedy = "write `public` or `private`";
            Err(Problem::new(format!("{at}.network"), what, remedy))
        }
    }
}

/// What no answer counts for.
pub(super) fn otherwise(at: &str, said: Option<&str>) -> Result<Otherwise, Problem> {
    match said {
        None | Some("refuse") => Ok(Otherwise::Refuse),
        Some("ignore") => Ok(Otherwise::Ignore),
        Some(other) => {
            let what = format!("no answer cannot count as `{}`", other.escape_debug());
            let remedy = "write `refuse` or `ignore`";
            Err(Problem::new(format!("{at}.otherwise"), what, remedy))
        }
    }
}

/// How long an answer is waited for.
pub(super) fn wait(at: &str, said: Option<u64>) -> Result<Duration, Problem> {
    let wait = said.unwrap_or(5);
    if (1..=WAIT_S_MAX).contains(&wait) {
        return Ok(Duration::from_secs(wait));
    }
    let what = format!("calls cannot wait {wait} seconds for it");
    Err(Problem::new(
        format!("{at}.timeout"),
        what,
        format!("write 1 to {WAIT_S_MAX}"),
    ))
}
