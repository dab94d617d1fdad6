//! `sallyport connect URL`: a bridge for hosts that only speak stdio. It takes the place of `mcp-remote`, flag for flag.
//!
//! `connect --serve` bridges to the gateway of this machine's own configuration and starts it if it does not
//! run. Whoever may open that gateway's control socket gets a token for one of its agents there.

mod bridge;
mod browser;
mod era;
mod flags;
mod kept;
mod login;
mod name;
mod tools;
mod unread;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clap::Args;
use hyper::{
    Uri,
    header::{AUTHORIZATION, HeaderName, HeaderValue},
};
use identity::{
    Secret,
    oauth::{DETAILS_TYPE, read_context},
};
use policy::PartyKind;
use tokio::time::Instant;
use wire::json::{Node, object};

use super::{
    Common,
    attach::{self, Attached},
    serve,
};
use crate::{
    config::{
        Meant,
        auth::{ClientIdentity, ClientProof, Pkce},
    },
    failure::Failure,
    known::issuers::{Guarded, Network},
    operate::admin::control,
    outside::{
        addresses::{self, kind},
        fetch::{Fetch, Reach, roots},
    },
    storage::vault::Layout,
};
use bridge::{Bridge, Manner};
use flags::{Flags, Protocol};
use kept::{Keeping, Place};
use login::{Indicated, Login, Settings, Shown, Way};
use tools::Ignored;

/// Tokens last ten minutes.
const TOKEN_AGE_MAX: Duration = Duration::from_secs(8 * 60);

/// Bridge stdio to a gateway or any MCP server over HTTP.
#[derive(Args, Debug)]
pub(crate) struct Connect {
    /// The URL, such as http://127.0.0.1:8420/mcp.
    #[arg(required_unless_present = "serve")]
    url: Option<String>,
    #[command(flatten)]
    flags: Flags,
    /// Bridge to the gateway of the configuration; start it if it does not run. It ends with its last host.
    #[arg(long, conflicts_with = "url")]
    serve: bool,
    /// With --serve: the agent the host is; the only configured one unless given.
    #[arg(long, value_name = "NAME", requires = "serve")]
    agent: Option<String>,
    /// The client id; SALLYPORT_CLIENT_ID unless given. The secret is read from SALLYPORT_CLIENT_SECRET.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// The purpose to declare.
    #[arg(long, conflicts_with = "context")]
    purpose: Option<String>,
    /// The context to declare, as JSON or `@file`: purpose, task, entity, trust, classes.
    #[arg(long, value_name = "JSON")]
    context: Option<String>,
}

impl Connect {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        self.flags.check()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| Failure::other(error.to_string()))?;
        let result = runtime.block_on(async {
            if self.serve {
                return self.run_attached(common).await;
            }
            let url = self.checked(self.url.as_deref().unwrap_or_default())?;
            let headers = self.flags.headers()?;
            // Who brings a token of their own has no login.
            let proof = if headers.iter().any(|(name, _)| *name == AUTHORIZATION) {
                Proof::None
            } else {
                Proof::Login(Box::new(self.login(&url, &headers).await?))
            };
            Arc::new(self.bridge(url, headers, proof)?).run().await
        });
        runtime.shutdown_background();
        result
    }

    /// Bridges to the gateway of the configuration for as long as both live.
    async fn run_attached(self, common: &Common) -> Result<(), Failure> {
        let config = serve::config_path(common).ok_or_else(|| {
            Failure::configuration(
                "there is no configuration; run `sallyport init`, or name one with --config",
            )
        })?;
        let meant = serve::load(common)?;
        let agent = self.agent(&meant)?;
        let mut attached: Attached = attach::attach(&config, &meant.data).await?;
        let url = format!("{}/mcp", attached.base);
        let proof = match agent {
            Some(agent) => Proof::Desk(Desk {
                socket: Layout::new(&meant.data).control(),
                agent,
                purpose: self.purpose.clone(),
                minted: Mutex::default(),
            }),
            None => Proof::None,
        };
        let bridge = Arc::new(self.bridge(self.checked(&url)?, self.flags.headers()?, proof)?);
        // Said at once if the agent is not known there, not at the first call.
        bridge.is_known().await?;
        tokio::select! {
            result = bridge.run() => result,
            () = attached.ended() => Err(Failure::unreachable("the gateway has ended; restart this host's servers")),
        }
    }

    /// Who the host is. Nobody in particular where configuration has a user for callers of this machine.
    fn agent(&self, meant: &Meant) -> Result<Option<String>, Failure> {
        if self.agent.is_some() || meant.anonymous.is_some() {
            return Ok(self.agent.clone());
        }
        let agents: Vec<_> = meant
            .parties
            .iter()
            .filter(|party| party.kind != PartyKind::User)
            .collect();
        match agents.as_slice() {
            [only] => Ok(Some(only.name.clone())),
            [] => Err(Failure::configuration(
                "no agent is configured; add one under `agents` with the role `owner`, or run `sallyport import`",
            )),
            several => {
                let names: Vec<_> = several.iter().map(|agent| agent.name.as_str()).collect();
                let names = names.join(", ");
                Err(Failure::configuration(format!(
                    "say which agent this host is with --agent; there are {names}"
                )))
            }
        }
    }

    /// The URL, if it may be reached.
    fn checked(&self, url: &str) -> Result<Uri, Failure> {
        let url: Uri = url
            .parse()
            .map_err(|_| Failure::configuration(format!("`{url}` is not a URL; write http://host/mcp")))?;
        match url.scheme_str() {
            Some("https") => Ok(url),
            Some("http") if is_here(&url) || self.flags.allow_http => Ok(url),
            Some("http") => Err(Failure::configuration(
                "the URL is not encrypted; use https://, or --allow-http if you know the network",
            )),
            _ => Err(Failure::configuration(
                "the URL must begin with http:// or https://",
            )),
        }
    }

    /// The members of the declared context, if there is one.
    fn declared(&self) -> Result<Option<Vec<u8>>, Failure> {
        if let Some(purpose) = &self.purpose {
            return Ok(Some(object(|out| out.string("purpose", purpose))));
        }
        let Some(said) = &self.context else {
            return Ok(None);
        };
        let said = flags::object("--context", said, &|text| Ok(text.to_owned()))?;
        read_context(said.root()).map_err(|why| Failure::configuration(format!("--context: {why}")))?;
        Ok(Some(said.text().as_bytes().to_vec()))
    }

    /// The client whose id and secret the environment has.
    fn client(&self) -> Result<Option<ClientIdentity>, Failure> {
        if let Some(client) = self.flags.client()? {
            return Ok(Some(client));
        }
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let id = self.client_id.clone().or_else(|| variable("SALLYPORT_CLIENT_ID"));
        let proof = variable("SALLYPORT_CLIENT_SECRET").map_or(ClientProof::None, |secret| {
            ClientProof::Secret(Secret::presented(secret))
        });
        Ok(id.map(|id| ClientIdentity { id, proof }))
    }

    async fn login(&self, url: &Uri, headers: &[(HeaderName, HeaderValue)]) -> Result<Login, Failure> {
        let (flags, text) = (&self.flags, url.to_string());
        let client = self.client()?;
        let from_environment = flags.client()?.is_none();
        let is_proven = client
            .as_ref()
            .is_some_and(|client| !matches!(client.proof, ClientProof::None));
        let way = match (flags.device_code, flags.client_credentials) {
            (true, _) => Some(Way::Device),
            (false, true) => Some(Way::Client),
            (false, false) => (is_proven && from_environment).then_some(Way::Client),
        };
        let indicated = match flags.resource.as_deref() {
            _ if flags.disable_resource_parameter => Indicated::Nothing,
            None => Indicated::Server,
            Some("") => Indicated::Nothing,
            Some(named) => Indicated::Named(named.to_owned()),
        };
        let details = self.declared()?.map(|context| {
            let typed = wire::json::extended(&context, |out| out.string("type", DETAILS_TYPE));
            format!("[{}]", String::from_utf8_lossy(&typed))
        });
        let (document, parameters) = (flags.document()?, flags.parameters()?);
        let mut parts: Vec<&str> = vec![&text];
        parts.extend(flags.resource.as_deref());
        parts.extend(client.as_ref().map(|client| client.id.as_str()));
        parts.extend(document.as_deref());
        parts.extend(details.as_deref());
        parts.extend(flags.use_id_token.then_some("id_token"));
        for (name, value) in &parameters {
            parts.extend([name.as_str(), value]);
        }
        for (name, value) in headers {
            parts.extend([name.as_str(), value.to_str().unwrap_or_default()]);
        }
        let keeping = if way == Some(Way::Client) {
            Keeping::No
        } else {
            Keeping::Yes
        };
        let place = Place::of(&parts, keeping);
        let settings = Settings {
            url: text,
            way,
            client,
            issuer: flags.issuer.clone(),
            document,
            token_endpoint: flags.token_endpoint.clone(),
            about: flags.about()?,
            indicated,
            shown: if flags.use_id_token {
                Shown::IdToken
            } else {
                Shown::AccessToken
            },
            pkce: if flags.assume_pkce {
                Pkce::Assumed
            } else {
                Pkce::Announced
            },
            parameters,
            details,
            back: flags.back()?,
            patience: flags.login_patience(),
            silent: flags.silent && !flags.debug,
        };
        Ok(Login::new(settings, self.guarded(url).await?, place))
    }

    /// Who may be asked for tokens: anybody in public, and one's own network where the server is there.
    async fn guarded(&self, url: &Uri) -> Result<Guarded, Failure> {
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let found = tokio::net::lookup_host((host, 443)).await;
        let is_own = found.is_ok_and(|mut found| {
            found.any(|address| {
                let kind = kind(address.ip().to_canonical());
                matches!(kind, addresses::Kind::Loopback | addresses::Kind::Private)
            })
        });
        let network = if is_own { Network::Private } else { Network::Public };
        let guarded = Guarded::believing(network, roots()?).map_err(Failure::other)?;
        Ok(guarded.through(self.flags.proxies()?))
    }

    fn bridge(
        &self,
        url: Uri,
        headers: Vec<(HeaderName, HeaderValue)>,
        proof: Proof,
    ) -> Result<Bridge, Failure> {
        let flags = &self.flags;
        let fetch = Fetch::reaching(Reach {
            connect: flags.connect_patience(),
            is_ipv4: flags.ipv4,
            proxies: flags.proxies()?,
        })?;
        // The control socket puts a purpose into the token.
        let is_said = matches!(proof, Proof::Desk(_)) && self.purpose.is_some();
        let manner = Manner {
            transport: flags.transport,
            finds_era: flags.protocol == Protocol::Auto,
            headers,
            ignored: Ignored::new(&flags.ignore_tool),
            context: self.declared()?.filter(|_| !is_said),
            head_patience: flags.head_patience(),
            body_patience: flags.body_patience(),
            ping: flags.ping(),
            is_loud: flags.debug,
        };
        Ok(Bridge::new(fetch, url, proof, manner))
    }
}

fn is_here(url: &Uri) -> bool {
    matches!(url.host(), Some("127.0.0.1" | "localhost" | "[::1]"))
}

/// How the bridge proves who its host is.
enum Proof {
    /// With a token of the server's authorization server, where the server asks.
    Login(Box<Login>),
    /// With tokens from the control socket.
    Desk(Desk),
    /// Not at all.
    None,
}

impl Proof {
    /// What goes with a request.
    async fn headers(&self, method: &str, url: &str) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
        match self {
            Self::Login(login) => login.proof(method, url).await,
            Self::Desk(desk) => Ok(vec![(AUTHORIZATION, desk.token().await?)]),
            Self::None => Ok(Vec::new()),
        }
    }
}

/// Tokens from a gateway of this machine.
#[derive(Debug)]
struct Desk {
    socket: PathBuf,
    agent: String,
    purpose: Option<String>,
    minted: Mutex<Option<(Instant, HeaderValue)>>,
}

impl Desk {
    /// The token, or a new one before it runs out.
    async fn token(&self) -> Result<HeaderValue, Failure> {
        let minted = self.minted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, token)) = minted.filter(|(at, _)| at.elapsed() <= TOKEN_AGE_MAX) {
            return Ok(token);
        }
        let args = object(|out| {
            out.string("agent", &self.agent);
            if let Some(purpose) = &self.purpose {
                out.string("purpose", purpose);
            }
        });
        let answer = control::ask(&self.socket, "token", &args).await?;
        let answer = answer.ok_or_else(|| Failure::unreachable("the gateway has ended"))?;
        let token = answer
            .root()
            .get("access_token")
            .and_then(Node::as_str)
            .unwrap_or_default();
        let mut token = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| Failure::unreachable("the token cannot be put into a header"))?;
        token.set_sensitive(true);
        let minted = Some((Instant::now(), token.clone()));
        *self.minted.lock().unwrap_or_else(PoisonError::into_inner) = minted;
        Ok(token)
    }
}
