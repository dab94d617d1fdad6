//! What to start or connect to. Comes from configuration and approval, never from a message.

use std::{collections::BTreeSet, fmt, path::PathBuf, sync::Arc, time::Duration};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use wire::mcp::ServerName;

use crate::{
    rest::{Base, Description},
    sandbox::Sandbox,
};

/// A server to reach.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerSpec {
    /// Its name in the registry.
    pub name: ServerName,
    /// How to reach it.
    pub reach: Reach,
    /// How long to wait for it.
    pub timeouts: Timeouts,
    /// Who shares a process or an upstream session.
    pub isolation: Isolation,
    /// Extensions that a client may declare to it, besides those the gateway can read.
    pub extensions: BTreeSet<String>,
}

/// How a server is reached.
#[derive(Clone, Debug, PartialEq)]
pub enum Reach {
    /// Over Streamable HTTP.
    Http(HttpTarget),
    /// As a REST service, by its description.
    Rest(RestTarget),
    /// Over HTTP+SSE (2024-11-05).
    Sse(HttpTarget),
    /// As a child process, over its pipes.
    Stdio(Command),
    /// At a Unix socket, a message a line.
    Unix(PathBuf),
    /// Over WebSocket: the URL is `ws` or `wss`.
    WebSocket(HttpTarget),
}

/// Who shares a process or an upstream session.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Isolation {
    /// Each principal has its own. Nothing a server keeps in memory can cross between them. The default.
    #[default]
    Principal,
    /// All principals share one, because the operator says the server keeps nothing.
    Shared,
}

/// How long to wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timeouts {
    /// For a process to start and shake hands, or a connection to stand. Package runners download first.
    pub start: Duration,
    /// For an answer; progress notifications begin it anew, up to ten times as long in all.
    pub call: Duration,
    /// Without calls until a principal's own process or session is closed.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(60),
            call: Duration::from_secs(120),
            idle: Duration::from_secs(300),
        }
    }
}

/// A command line. Run as it stands, never through a shell.
#[derive(Clone, PartialEq)]
pub struct Command {
    /// The program.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables it gets besides the few every program needs; values may be secrets.
    pub env: Vec<(String, String)>,
    /// Variables whose values are asked for when a process is started for somebody: names, and references to secrets.
    pub vault: Vec<(String, String)>,
    /// Where it runs.
    pub directory: Option<PathBuf>,
    /// Whether it is boxed, and what it is granted.
    pub sandbox: Sandbox,
}

/// Values of variables are never printed.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Command")
            .field("program", &self.program)
            .field("args", &self.args)
            .field("env", &names)
            .field("vault", &self.vault)
            .field("directory", &self.directory)
            .field("sandbox", &self.sandbox)
            .finish()
    }
}

/// An HTTP endpoint.
#[derive(Clone, PartialEq)]
pub struct HttpTarget {
    /// The URL: `http` or `https`.
    pub url: hyper::Uri,
    /// Headers to send along; values may be secrets.
    pub headers: Vec<(String, String)>,
    /// What its TLS must be like.
    pub protection: Protection,
    /// What proves requests besides those headers.
    pub proof: Proof,
}

/// A REST service.
#[derive(Clone, Debug, PartialEq)]
pub struct RestTarget {
    /// Where its paths begin.
    pub http: HttpTarget,
    /// Which of its headers are secrets, by their names, because the configuration keeps them elsewhere.
    pub secrets: Vec<String>,
    /// What it can do.
    pub description: Arc<Description>,
}

impl RestTarget {
    /// Whether all paths of a service can begin there.
    #[must_use]
    pub fn is_base(url: &hyper::Uri) -> bool {
        Base::new(url).is_some()
    }
}

impl Reach {
    /// The endpoint, where it is reached over HTTP in one of its ways.
    #[must_use]
    pub const fn http(&self) -> Option<&HttpTarget> {
        match self {
            Self::Http(target) | Self::Sse(target) | Self::WebSocket(target) => Some(target),
            Self::Rest(target) => Some(&target.http),
            Self::Stdio(_) | Self::Unix(_) => None,
        }
    }
}

/// What proves requests besides fixed headers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Proof {
    /// The [`Credentials`](crate::Credentials) are asked.
    Asked,
    /// Nothing. The default.
    #[default]
    None,
}

/// What a server's TLS must be like. It is TLS 1.3 in any case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Protection {
    /// The certificate authorities believed for this server; the public ones where there are none here.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Whether a key exchange without post-quantum protection will do.
    pub post_quantum: PostQuantum,
    /// The certificate shown to it.
    pub own: Option<Arc<OwnCertificate>>,
}

/// Whether a key exchange without post-quantum protection will do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum PostQuantum {
    /// It will, where the other side knows no better. The default.
    #[default]
    Prefer,
    /// It will not: X25519MLKEM768 or no connection.
    Required,
}

/// A certificate with its chain and its key.
#[derive(Debug, PartialEq)]
pub struct OwnCertificate {
    /// The certificate, then those that lead to its authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key; `Debug` does not show it.
    pub key: PrivateKeyDer<'static>,
}

/// Values of headers are never printed.
impl fmt::Debug for HttpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("HttpTarget")
            .field("url", &self.url)
            .field("headers", &names)
            .field("protection", &self.protection)
            .finish()
    }
}
