//! Where events go, in which form.

use std::{fmt, net::SocketAddr, path::PathBuf};

use hyper::Uri;

use super::{Problem, reference::Lookup, said::SaidEvents};
use crate::events::Format;

/// A receiver of events.
#[derive(Clone, Debug)]
pub(crate) struct MeantEvents {
    pub(crate) to: To,
    pub(crate) format: Format,
    /// Whether calls are refused while it is too far behind.
    pub(crate) strict: bool,
}

/// Where a receiver is. Its text is its name in the store.
#[derive(Clone, Debug)]
pub(crate) enum To {
    File(PathBuf),
    Http(Uri),
    /// Syslog over TCP, with each message counted.
    Tcp(SocketAddr),
    /// Syslog over UDP, which loses what the network loses.
    Udp(SocketAddr),
}

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Http(uri) => write!(f, "{uri}"),
            Self::Tcp(address) => write!(f, "syslog+tcp://{address}"),
            Self::Udp(address) => write!(f, "syslog://{address}"),
        }
    }
}

/// One receiver.
pub(super) fn mean(n: usize, said: &SaidEvents, lookup: &Lookup<'_>) -> Result<MeantEvents, Problem> {
    let at = |key: &str| format!("events[{n}].{key}");
    let to = to(&at("to"), &said.to, lookup)?;
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
    Ok(MeantEvents {
        to,
        format,
        strict: said.strict,
    })
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
