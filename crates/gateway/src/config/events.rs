//! Where events go, in which form.

use std::{fmt, net::SocketAddr, path::PathBuf};

use hyper::Uri;
use records::digest::{hex, sha256};
use serde::Deserialize;

use super::{Problem, reference::Lookup};
use crate::{evidence::events::Format, storage::keyring};

/// Who may read `/metrics`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum SaidMetrics {
    /// Whoever reaches the listener.
    Anywhere,
    /// Whoever calls from this machine.
    #[default]
    Here,
    /// Nobody.
    Off,
}

/// A receiver of events.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidEvents {
    /// `file:PATH`, `syslog://ADDRESS:PORT`, `syslog+tcp://ADDRESS:PORT` or `https://HOST/PATH`; or `env:NAME` or
    /// `keyring:NAME`, where one of these is, as a URL with a token in it should be.
    pub(crate) to: String,
    /// `json` (the default), `ocsf`, `cef` or `otlp`.
    pub(crate) format: Option<String>,
    /// Calls are refused while it is more than 1,000 entries behind. Otherwise it holds nobody up.
    #[serde(default)]
    pub(crate) strict: bool,
}

/// A receiver of events.
#[derive(Clone, Debug)]
pub(crate) struct MeantEvents {
    pub(crate) to: To,
    pub(crate) format: Format,
    /// Whether calls are refused while it is too far behind.
    pub(crate) strict: bool,
}

/// Where a receiver is. Its text is for people and logs: of a URL, no more than the host, since paths and queries hold
/// tokens.
#[derive(Clone, Debug)]
pub(crate) enum To {
    File(PathBuf),
    Http(Uri),
    /// Syslog over TCP, with each message counted.
    Tcp(SocketAddr),
    /// Syslog over UDP, which loses what the network loses.
    Udp(SocketAddr),
}

impl MeantEvents {
    /// Its name in the store: two receivers in one place that take different forms are two.
    pub(crate) fn key(&self) -> String {
        let (to, format) = (self.to.whole(), self.format);
        hex(&sha256(&[format!("{format:?} {to}").as_bytes()]))
    }
}

impl To {
    /// The whole of it, with whatever secrets it has.
    fn whole(&self) -> String {
        match self {
            Self::Http(uri) => uri.to_string(),
            Self::File(_) | Self::Tcp(_) | Self::Udp(_) => self.to_string(),
        }
    }
}

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Http(uri) => {
                let authority = uri.authority().map_or("", |authority| authority.as_str());
                write!(f, "{}://{authority}/...", uri.scheme_str().unwrap_or("https"))
            }
            Self::Tcp(address) => write!(f, "syslog+tcp://{address}"),
            Self::Udp(address) => write!(f, "syslog://{address}"),
        }
    }
}

/// One receiver.
pub(super) fn mean(
    n: usize,
    said: &SaidEvents,
    others: &[MeantEvents],
    lookup: &Lookup<'_>,
) -> Result<MeantEvents, Problem> {
    let at = |key: &str| format!("events[{n}].{key}");
    let is_elsewhere = ["env:", keyring::PREFIX]
        .iter()
        .any(|scheme| said.to.starts_with(scheme));
    let to = if is_elsewhere {
        to(&at("to"), &lookup.secret(&at("to"), &said.to)?, lookup)?
    } else {
        to(&at("to"), &said.to, lookup)?
    };
    let format = said.format.as_deref().unwrap_or("json");
    let format = Format::parse(format).ok_or_else(|| {
        let what = format!("there is no format `{}`", format.escape_debug());
        Problem::new(at("format"), what, "use json, ocsf, cef or otlp")
    })?;
    let is_http = matches!(to, To::Http(_));
    if format == Format::Otlp && !is_http {
        let what = "OTLP is spoken over HTTP";
        return Err(Problem::new(at("format"), what, "use json, ocsf or cef here"));
    }
    let meant = MeantEvents {
        to,
        format,
        strict: said.strict,
    };
    // The two would share one place in the ledger, and each lose what the other was told.
    if others.iter().any(|other| other.key() == meant.key()) {
        let what = "another receiver is at the same place and takes the same form";
        return Err(Problem::new(at("to"), what, "take one of the two out"));
    }
    Ok(meant)
}

fn to(at: &str, said: &str, lookup: &Lookup<'_>) -> Result<To, Problem> {
    let unknown = || {
        let remedy = "write file:PATH, syslog://ADDRESS:PORT, syslog+tcp://ADDRESS:PORT or https://HOST/PATH";
        Problem::new(at, "it is no place that events can go to", remedy)
    };
    let address = |text: &str| text.parse::<SocketAddr>().map_err(|_| unknown());
    if let Some(path) = said.strip_prefix("file:").filter(|path| !path.is_empty()) {
        return Ok(To::File(lookup.path(path)));
    }
    if let Some(rest) = said.strip_prefix("syslog+tcp://") {
        return address(rest).map(To::Tcp);
    }
    if let Some(rest) = said.strip_prefix("syslog://") {
        return address(rest).map(To::Udp);
    }
    let uri: Uri = said.parse().map_err(|_| unknown())?;
    let host = uri.host().ok_or_else(unknown)?;
    if uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        let what = "a name and a password in a URL would be sent to nobody and logged by many";
        return Err(Problem::new(
            at,
            what,
            "leave them out; put a token in the path, by `env:NAME`",
        ));
    }
    let is_here = ["127.0.0.1", "localhost", "[::1]"].contains(&host);
    match uri.scheme_str() {
        Some("https") => Ok(To::Http(uri)),
        Some("http") if is_here => Ok(To::Http(uri)),
        Some("http") => {
            let what = "what happened would travel unprotected";
            Err(Problem::new(at, what, "use https; http only to this machine"))
        }
        _ => Err(unknown()),
    }
}
