//! The gateway's front door: the address it listens on, the URL it is called by, its TLS; and the TLS of servers.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use upstream::{PostQuantum, Protection};

use super::{
    Problem,
    acme::{self, MeantAcme},
    reference::Lookup,
    said::{SaidServerTls, SaidTls},
    trust_domains::MeantTrustDomain,
};
use crate::tls;

/// Where the gateway listens unless told otherwise.
const LISTEN: &str = "127.0.0.1:8420";
/// What stands for a certificate of the gateway's own making.
const DEVELOPMENT: &str = "development";
/// What stands for one of an authority that is asked for it.
const ACME: &str = "acme";

/// TLS of the listener.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MeantTls {
    pub(crate) source: Source,
    pub(crate) client_ca: Option<PathBuf>,
    pub(crate) client_crl: Option<PathBuf>,
    pub(crate) post_quantum: PostQuantum,
    /// Filled in once it is known who its workloads are.
    pub(crate) trust_domains: Vec<MeantTrustDomain>,
}

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    /// An authority that is asked while the gateway runs.
    Acme(MeantAcme),
    /// The gateway's own authority.
    Development,
    /// Files.
    Files { certificate: PathBuf, key: PathBuf },
}

/// The front door as configured.
#[derive(Clone, Debug)]
pub(crate) struct FrontDoor {
    pub(crate) listen: SocketAddr,
    pub(crate) url: Option<String>,
    pub(crate) tls: Option<MeantTls>,
}

/// Finds out what was meant.
pub(super) fn front_door(
    listen: Option<&str>,
    url: Option<&str>,
    said: Option<&SaidTls>,
    lookup: &Lookup<'_>,
) -> Result<FrontDoor, Problem> {
    let tls = said.map(|said| listener_tls(said, url, lookup)).transpose()?;
    let listen = address(listen.unwrap_or(LISTEN))?;
    let url = url.map(|url| public_url(url, tls.is_some())).transpose()?;
    if !listen.ip().is_loopback() && tls.is_none() {
        return Err(Problem::new(
            "listen",
            format!("{listen} can be reached from other machines, which needs TLS, and there is no `tls`"),
            "add `tls: { certificate: cert.pem, key: \"file:key.pem\" }`, or `tls: { certificate: development }` \
             for a certificate of the gateway's own making, or listen on 127.0.0.1",
        ));
    }
    if listen.ip().is_unspecified() && url.is_none() {
        return Err(Problem::new(
            "url",
            format!("{listen} is every address of this machine, and none that clients could call"),
            "write the URL that clients use, as in `url: \"https://gateway.example\"`",
        ));
    }
    Ok(FrontDoor { listen, url, tls })
}

fn address(text: &str) -> Result<SocketAddr, Problem> {
    let normal = text.replace("localhost:", "127.0.0.1:");
    normal.parse().map_err(|_| {
        Problem::new(
            "listen",
            format!("`{text}` is not an address"),
            "write it as `127.0.0.1:8420`",
        )
    })
}

/// The URL clients call the gateway by: tokens are issued in its name and are for it.
fn public_url(text: &str, has_tls: bool) -> Result<String, Problem> {
    let bad = |what: &str| Problem::new("url", what, "write it as `https://gateway.example`");
    let url: hyper::Uri = text.parse().map_err(|_| bad("it is not a URL"))?;
    let authority = url.authority().ok_or_else(|| bad("it is not a URL"))?.as_str();
    let is_plain = matches!(url.path(), "" | "/") && url.query().is_none() && !authority.contains('@');
    if !is_plain {
        return Err(bad("it has more than a scheme, a host and a port"));
    }
    let scheme = url.scheme_str().unwrap_or_default();
    let is_here = ["127.0.0.1", "localhost", "[::1]"].contains(&url.host().unwrap_or_default());
    if scheme != "https" && (has_tls || !is_here || scheme != "http") {
        return Err(bad("tokens would travel unprotected"));
    }
    Ok(format!("{scheme}://{}", authority.to_ascii_lowercase()))
}

fn listener_tls(said: &SaidTls, url: Option<&str>, lookup: &Lookup<'_>) -> Result<MeantTls, Problem> {
    let source = match (said.certificate.as_deref(), said.key.as_deref()) {
        (Some(DEVELOPMENT), None) => Source::Development,
        (Some(ACME), None) => Source::Acme(acme::mean(said.acme.as_ref(), url, lookup)?),
        (Some(certificate), Some(key)) => Source::Files {
            certificate: lookup.path(certificate),
            key: file("tls.key", key, lookup)?,
        },
        (_, _) => {
            return Err(Problem::new(
                "tls",
                "a certificate comes with its key",
                "write `certificate: cert.pem` and `key: \"file:key.pem\"`, or `certificate: development` alone",
            ));
        }
    };
    if said.acme.is_some() && !matches!(source, Source::Acme(_)) {
        let what = "the certificate comes from elsewhere";
        return Err(Problem::new(
            "tls.acme",
            what,
            "write `certificate: acme`, or take it away",
        ));
    }
    if said.client_crl.is_some() && said.client_ca.is_none() {
        return Err(Problem::new(
            "tls.client_crl",
            "nobody has to show a certificate that could be revoked",
            "add `client_ca`, the authorities of clients' certificates",
        ));
    }
    let path = |path: &Option<String>| path.as_deref().map(|path| lookup.path(path));
    Ok(MeantTls {
        source,
        client_ca: path(&said.client_ca),
        client_crl: path(&said.client_crl),
        post_quantum: post_quantum("tls.post_quantum", said.post_quantum.as_deref())?,
        trust_domains: Vec::new(),
    })
}

/// TLS of a server. The files are read now: what a server is reached with is approved with it.
pub(super) fn server_tls(
    at: &str,
    said: Option<&SaidServerTls>,
    scheme: &str,
    lookup: &Lookup<'_>,
) -> Result<Protection, Problem> {
    let Some(said) = said else {
        return Ok(Protection::default());
    };
    let at = format!("{at}.tls");
    if !matches!(scheme, "https" | "wss") {
        let what = "the server is not reached over TLS";
        return Err(Problem::new(
            at,
            what,
            "write `https` or `wss` in its `url`, or leave `tls` out",
        ));
    }
    let problem =
        |key: &str, what: String| Problem::new(format!("{at}.{key}"), what, "correct the path, or the file");
    let authorities = match &said.ca {
        None => Vec::new(),
        Some(path) => tls::authorities(&lookup.path(path)).map_err(|what| problem("ca", what))?,
    };
    let own = match (&said.certificate, &said.key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => {
            let key = file(&format!("{at}.key"), key, lookup)?;
            let own = tls::own_certificate(&lookup.path(certificate), &key);
            Some(own.map_err(|what| problem("certificate", what))?.into())
        }
        (_, _) => return Err(Problem::new(at, "a certificate comes with its key", "write both")),
    };
    Ok(Protection {
        authorities,
        post_quantum: post_quantum(&format!("{at}.post_quantum"), said.post_quantum.as_deref())?,
        own,
    })
}

fn post_quantum(at: &str, said: Option<&str>) -> Result<PostQuantum, Problem> {
    match said {
        None | Some("prefer") => Ok(PostQuantum::Prefer),
        Some("required") => Ok(PostQuantum::Required),
        Some(other) => {
            let what = format!("`{other}` is not known here");
            Err(Problem::new(at, what, "use one of: prefer, required"))
        }
    }
}

/// The path of a key. It is followed while the gateway runs, so the environment will not do.
fn file(at: &str, reference: &str, lookup: &Lookup<'_>) -> Result<PathBuf, Problem> {
    match reference.strip_prefix("file:") {
        Some(path) => Ok(lookup.path(path)),
        None => {
            let what = "a key is in a file of its own";
            Err(Problem::new(at, what, "write it as `file:key.pem`"))
        }
    }
}

/// The names a request may say it is for, as its `Host` header has them.
pub(super) fn hosts(said: &[String]) -> Result<BTreeSet<String>, Problem> {
    let each = said.iter().enumerate().map(|(n, host)| {
        let remedy = "write a name or address as clients call it, with its port where that is not 443 or 80: \
                      `gateway.example:8443`";
        is_authority(host)
            .then(|| host.to_ascii_lowercase())
            .ok_or_else(|| {
                Problem::new(
                    format!("hosts[{n}]"),
                    format!("no request is for `{host}`"),
                    remedy,
                )
            })
    });
    each.collect()
}

/// The pages whose scripts may call, as browsers name them in `Origin` (RFC 6454 section 7).
pub(super) fn origins(said: &[String]) -> Result<BTreeSet<String>, Problem> {
    let each = said.iter().enumerate().map(|(n, origin)| {
        let origin = origin.to_ascii_lowercase();
        let host = origin.split_once("://").map(|(_, host)| host);
        let remedy = "write each as browsers do, scheme, name and port and no more: `https://app.example`";
        host.is_some_and(is_authority)
            .then(|| origin.clone())
            .ok_or_else(|| {
                Problem::new(
                    format!("origins[{n}]"),
                    format!("no page has the origin `{origin}`"),
                    remedy,
                )
            })
    });
    each.collect()
}

/// A name or an address, and maybe a port.
fn is_authority(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    text.chars().all(is_part) && text.parse::<hyper::http::uri::Authority>().is_ok()
}

/// Host names and addresses in `host:port` spellings, without the ports.
pub(crate) fn names<'h>(hosts: impl Iterator<Item = &'h String>) -> Vec<String> {
    let bare = |host: &String| match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, _)) => address.to_owned(),
        None => host.split(':').next().unwrap_or_default().to_owned(),
    };
    let names: BTreeSet<_> = hosts.map(bare).collect();
    names.into_iter().collect()
}

impl MeantTls {
    /// The files it is read from.
    pub(crate) fn files(&self) -> Vec<&Path> {
        let own = match &self.source {
            Source::Acme(_) | Source::Development => Vec::new(),
            Source::Files { certificate, key } => vec![certificate.as_path(), key.as_path()],
        };
        let clients = [&self.client_ca, &self.client_crl];
        own.into_iter()
            .chain(clients.into_iter().filter_map(|path| path.as_deref()))
            .chain(self.trust_domains.iter().flat_map(MeantTrustDomain::files))
            .collect()
    }
}
