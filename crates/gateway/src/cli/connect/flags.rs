//! The flags of `mcp-remote`, under their names: each does what it does there, or is refused with what to do instead.

use std::{path::Path, sync::Arc, time::Duration};

use clap::Args;
use hyper::header::{HeaderName, HeaderValue};
use identity::Secret;
use wire::{
    bounds::CREDENTIAL,
    json::{Document, Keys, Kind, Node},
};

use super::browser::Back;
use crate::{
    config::auth::{ClientIdentity, ClientProof},
    failure::Failure,
    outside::proxy::Proxies,
};

/// How to reach the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Transport {
    /// Streamable HTTP, or HTTP+SSE where that is not there.
    HttpFirst,
    /// HTTP+SSE, or Streamable HTTP where that is not there.
    SseFirst,
    /// Streamable HTTP.
    HttpOnly,
    /// HTTP+SSE (2024-11-05).
    SseOnly,
}

/// Which era to speak.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Protocol {
    /// That of the host, whatever it is.
    Legacy,
    /// The modern one, where the server is of it.
    Auto,
}

/// See the module.
#[derive(Args, Debug)]
pub(super) struct Flags {
    /// The port the browser comes back to; one derived from the URL unless given.
    pub(super) port: Option<u16>,
    /// A header to send along, `Name: value`; `${VARIABLE}` is replaced.
    #[arg(long, value_name = "HEADER")]
    header: Vec<String>,
    /// A file of headers, one a line; `#` begins a comment.
    #[arg(long, value_name = "FILE")]
    header_file: Option<std::path::PathBuf>,
    /// Allow http:// to hosts other than this machine.
    #[arg(long)]
    pub(super) allow_http: bool,
    /// How to reach the server.
    #[arg(long, value_enum, value_name = "STRATEGY", default_value = "http-first")]
    pub(super) transport: Transport,
    /// The era to speak to the server: that of the host, or the modern one where the server is of it.
    #[arg(long, value_enum, value_name = "ERA", default_value = "legacy")]
    pub(super) protocol: Protocol,
    /// The name of this machine in the address the browser comes back to.
    #[arg(long, value_name = "HOST", default_value = "localhost")]
    host: String,
    /// The path the browser comes back to.
    #[arg(long, value_name = "PATH", default_value = "/oauth/callback")]
    callback_path: String,
    /// Where the browser goes on to after the login.
    #[arg(long, value_name = "URL")]
    auth_success_url: Option<String>,
    /// How long a person may take to log in, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "120")]
    auth_timeout: u64,
    /// The resource to ask a token for; the server's own name unless given.
    #[arg(long, value_name = "URI")]
    pub(super) resource: Option<String>,
    /// Ask for tokens without naming a resource.
    #[arg(long)]
    pub(super) disable_resource_parameter: bool,
    /// Log in where the authorization server says nothing of PKCE, as Entra ID, which checks it.
    #[arg(long)]
    pub(super) assume_pkce: bool,
    /// A parameter to send the browser with, `key=value`.
    #[arg(long, value_name = "KEY=VALUE")]
    authorize_param: Vec<String>,
    /// What to say of this client when it registers, as JSON or `@file`.
    #[arg(long, value_name = "JSON")]
    static_oauth_client_metadata: Option<String>,
    /// The client's `client_id` and `client_secret`, as JSON or `@file`; `${VARIABLE}` is replaced.
    #[arg(long, value_name = "JSON")]
    static_oauth_client_info: Option<String>,
    /// The authorization server that knows the client which is said here, by its issuer; it is shown to no other.
    #[arg(long, value_name = "URL")]
    pub(super) issuer: Option<String>,
    /// The https URL of a document about this client, which is its id.
    #[arg(long, value_name = "URL")]
    client_metadata_url: Option<String>,
    /// Log in on another device: a code is shown here and entered there.
    #[arg(long, conflicts_with = "client_credentials")]
    pub(super) device_code: bool,
    /// Prove to be the client itself; nobody logs in.
    #[arg(long)]
    pub(super) client_credentials: bool,
    /// The token endpoint, instead of looking for it.
    #[arg(long, value_name = "URL", requires = "client_credentials")]
    pub(super) token_endpoint: Option<String>,
    /// Tools the host is not to see; `*` stands for anything.
    #[arg(long, value_name = "PATTERN")]
    pub(super) ignore_tool: Vec<String>,
    /// How long a connection may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    connect_timeout: u64,
    /// How long an answer's head may take, in seconds; 0 is for ever.
    #[arg(long, value_name = "SECONDS", default_value = "300")]
    headers_timeout: u64,
    /// How long an answer may pause, in seconds; 0, for ever, unless given.
    #[arg(long, value_name = "SECONDS", default_value = "0")]
    body_timeout: u64,
    /// Send a ping every 30 seconds.
    #[arg(long)]
    keep_alive: bool,
    /// The same, every so many seconds.
    #[arg(long, value_name = "SECONDS")]
    ping_interval: Option<u64>,
    /// Connect over IPv4 alone.
    #[arg(long)]
    pub(super) ipv4: bool,
    /// Does nothing: no cookies are kept.
    #[arg(long)]
    disable_cookies: bool,
    /// Connect through the proxies of HTTPS_PROXY and HTTP_PROXY, but for NO_PROXY's hosts.
    #[arg(long)]
    enable_proxy: bool,
    /// Show the server the ID token instead of the access token.
    #[arg(long)]
    pub(super) use_id_token: bool,
    /// Say more on standard error.
    #[arg(long)]
    pub(super) debug: bool,
    /// Say nothing on standard error.
    #[arg(long)]
    pub(super) silent: bool,
}

impl Flags {
    /// Refuses what is not there.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let refused = |why: &str| Err(Failure::configuration(why));
        if self.use_id_token && self.client_credentials {
            return refused(
                "--use-id-token and --client-credentials: an ID token is of a person who logged in",
            );
        }
        let is_old = matches!(self.transport, Transport::SseFirst | Transport::SseOnly);
        if self.protocol == Protocol::Auto && is_old {
            return refused(
                "--protocol auto: no server of the modern era speaks HTTP+SSE; leave --transport out",
            );
        }
        if self.auth_timeout == 0 || self.connect_timeout == 0 || self.ping_interval == Some(0) {
            return refused("--auth-timeout, --connect-timeout and --ping-interval are more than 0 seconds");
        }
        if self.disable_resource_parameter && self.resource.as_ref().is_some_and(|text| !text.is_empty()) {
            return refused(
                "--resource and --disable-resource-parameter say different things; keep one of them",
            );
        }
        Ok(())
    }

    /// Where a browser comes back to.
    pub(super) fn back(&self) -> Result<Back, Failure> {
        if !matches!(self.host.as_str(), "localhost" | "127.0.0.1" | "[::1]") {
            return Err(Failure::configuration(
                "--host is `localhost`, `127.0.0.1` or `[::1]`: the answer of a login must not leave this machine",
            ));
        }
        let is_plain =
            |path: &str| path.bytes().all(|b| (0x21..0x7F).contains(&b)) && !path.contains(['?', '#']);
        if !self.callback_path.starts_with('/') || !is_plain(&self.callback_path) {
            return Err(Failure::configuration(
                "--callback-path begins with `/` and has no query",
            ));
        }
        let fits = |url: &hyper::Uri| {
            let is_here = matches!(url.host(), Some("127.0.0.1" | "localhost" | "[::1]"));
            let is_known = url
                .authority()
                .is_some_and(|authority| !authority.as_str().contains('@'));
            let is_safe = url.scheme_str() == Some("https")
                || url.scheme_str() == Some("http") && (is_here || self.allow_http);
            is_known && is_safe && url.query().is_none()
        };
        if let Some(url) = &self.auth_success_url
            && (url.contains('#') || !url.parse().is_ok_and(|url| fits(&url)))
        {
            return Err(Failure::configuration(
                "--auth-success-url is an https URL, or http to this machine, without user, query and fragment",
            ));
        }
        Ok(Back {
            host: self.host.clone(),
            port: self.port,
            path: self.callback_path.clone(),
            done: self.auth_success_url.clone(),
        })
    }

    /// The proxies to connect through, where that is wanted.
    pub(super) fn proxies(&self) -> Result<Option<Arc<Proxies>>, Failure> {
        self.enable_proxy.then(Proxies::of_environment).transpose()
    }

    /// The headers to send along.
    pub(super) fn headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
        let mut headers = self
            .header
            .iter()
            .map(|text| header(text))
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(path) = &self.header_file {
            let lines = read(path)?;
            let lines = lines
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with('#'));
            for line in lines {
                headers.push(header(line)?);
            }
        }
        Ok(headers)
    }

    /// What to send the browser with besides.
    pub(super) fn parameters(&self) -> Result<Vec<(String, String)>, Failure> {
        let ours = [
            "response_type",
            "client_id",
            "redirect_uri",
            "state",
            "code_challenge",
            "code_challenge_method",
            "resource",
            "scope",
        ];
        let read = |text: &String| {
            let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
            let (key, value) = pair.ok_or_else(|| {
                Failure::configuration(format!(
                    "`{text}` is no parameter; write --authorize-param key=value"
                ))
            })?;
            if ours.contains(&key) {
                return Err(Failure::configuration(format!(
                    "`{key}` is said by `connect` itself; use --resource, or `scope` in --static-oauth-client-metadata"
                )));
            }
            Ok((key.to_owned(), value.to_owned()))
        };
        self.authorize_param.iter().map(read).collect()
    }

    /// What this client says of itself.
    pub(super) fn about(&self) -> Result<Option<Arc<Document>>, Failure> {
        let said = self.static_oauth_client_metadata.as_deref();
        said.map(|said| {
            object(
                "--static-oauth-client-metadata",
                said,
                &|text| Ok(text.to_owned()),
            )
            .map(Arc::new)
        })
        .transpose()
    }

    /// The client that the authorization server knows, where flags say it.
    pub(super) fn client(&self) -> Result<Option<ClientIdentity>, Failure> {
        let Some(said) = &self.static_oauth_client_info else {
            return Ok(None);
        };
        let said = object("--static-oauth-client-info", said, &substituted)?;
        let text = |name: &str| {
            said.root()
                .get(name)
                .and_then(Node::as_str)
                .map(std::borrow::Cow::into_owned)
        };
        let id = text("client_id")
            .ok_or_else(|| Failure::configuration("--static-oauth-client-info has no `client_id`"))?;
        let proof = text("client_secret").map_or(ClientProof::None, |secret| {
            ClientProof::Secret(Secret::presented(secret))
        });
        Ok(Some(ClientIdentity { id, proof }))
    }

    /// The document that is the client's id.
    pub(super) fn document(&self) -> Result<Option<String>, Failure> {
        if let Some(url) = &self.client_metadata_url {
            identity::oauth::document_url(url)
                .map_err(|why| Failure::configuration(format!("--client-metadata-url: {why}")))?;
        }
        Ok(self.client_metadata_url.clone())
    }

    pub(super) fn login_patience(&self) -> Duration {
        Duration::from_secs(self.auth_timeout)
    }

    pub(super) fn connect_patience(&self) -> Duration {
        Duration::from_secs(self.connect_timeout)
    }

    pub(super) fn head_patience(&self) -> Option<Duration> {
        (self.headers_timeout > 0).then(|| Duration::from_secs(self.headers_timeout))
    }

    pub(super) fn body_patience(&self) -> Option<Duration> {
        (self.body_timeout > 0).then(|| Duration::from_secs(self.body_timeout))
    }

    /// How often to ping.
    pub(super) fn ping(&self) -> Option<Duration> {
        let seconds = self.ping_interval.or_else(|| self.keep_alive.then_some(30));
        seconds.map(Duration::from_secs)
    }
}

/// A JSON object, or the file that has it.
pub(super) fn object(
    flag: &str,
    said: &str,
    change: &dyn Fn(&str) -> Result<String, Failure>,
) -> Result<Document, Failure> {
    let text = match said.strip_prefix('@') {
        Some(path) => read(Path::new(path))?,
        None => said.to_owned(),
    };
    let document = Document::parse(change(&text)?.into_bytes(), Keys::Exact, &CREDENTIAL);
    let document = document.map_err(|error| Failure::configuration(format!("{flag}: {error}")))?;
    if document.root().kind() != Kind::Object {
        return Err(Failure::configuration(format!("{flag} is no JSON object")));
    }
    Ok(document)
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::configuration(format!("{}: {error}", path.display())))
}

/// `Name: value`, with `${VARIABLE}` replaced.
fn header(text: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    // What is wrong is not repeated: it may be a secret.
    let wrong = || Failure::configuration("a header is written `Name: value`");
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let mut value = HeaderValue::try_from(substituted(value.trim())?).map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok((HeaderName::try_from(name.trim()).map_err(|_| wrong())?, value))
}

fn substituted(text: &str) -> Result<String, Failure> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once("${") {
        let open = || Failure::configuration("a `${` is not closed");
        let (variable, after) = tail.split_once('}').ok_or_else(open)?;
        out.push_str(before);
        let found = std::env::var(variable);
        out.push_str(
            &found.map_err(|_| Failure::configuration(format!("the variable `{variable}` is not set")))?,
        );
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}
