//! `sallyport agent enroll` and `agent rekey`: the agent's side of enrolment. The key is made here and never leaves; what
//! is sent is signed by it. Needs no configuration: it runs where the agent runs.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use clap::Args;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode, Uri, header::CONTENT_TYPE};
use identity::{assertion::ClientKey, enrolment::Asking};
use records::disk::{Disk, How, RealDisk};
use tokio::time::Instant;
use wire::json::{Document, Keys, Node, object};

use super::{Common, block_on, say};
use crate::{
    ambient::Ambient, config::reference::private, failure::Failure, outside::fetch::Fetch, visible::visible,
};

/// How often the gateway is asked how it stands: soon at first, and never as often as it would mind.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LOOK_MAX: Duration = Duration::from_secs(10);

/// Make a key, ask a gateway to be let in, and wait for a person there.
#[derive(Args, Debug)]
pub(crate) struct Enroll {
    #[command(flatten)]
    own: Own,
    /// Its model, such as vendor/model-1.
    #[arg(long)]
    model: Option<String>,
    /// The version of its model.
    #[arg(long, value_name = "VERSION", requires = "model")]
    model_version: Option<String>,
    /// How long to wait for a person, in seconds; 0 asks once. The same command goes on waiting.
    #[arg(long, default_value_t = 86_400)]
    wait: u64,
}

/// Change an agent's key, by the one it has.
#[derive(Args, Debug)]
pub(crate) struct Rekey {
    #[command(flatten)]
    own: Own,
}

/// Who asks whom.
#[derive(Args, Debug)]
struct Own {
    /// The gateway's URL, as it calls itself (its `url`).
    gateway: String,
    /// The agent's name.
    #[arg(long)]
    name: String,
    /// The file of its private key, in PEM. It is made if it is not there, and nobody else can read it.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

/// What a gateway said.
struct Said {
    status: StatusCode,
    body: Option<Document>,
}

impl Enroll {
    pub(crate) fn run(&self, common: &Common) -> Result<(), Failure> {
        block_on(self.ask(common))
    }

    async fn ask(&self, common: &Common) -> Result<(), Failure> {
        let (gateway, fetch) = (self.own.audience()?, Fetch::new()?);
        let key = own_key(&self.own.key)?;
        let thumbprint = key.thumbprint().map_err(|error| unusable(&self.own.key, error))?;
        let ambient = Ambient::system();
        let version = self.model_version.as_deref();
        let end = Instant::now() + Duration::from_secs(self.wait);
        let (mut look, mut told) = (FIRST_LOOK, false);
        loop {
            let asking = Asking {
                name: &self.own.name,
                audience: gateway,
                model: self.model.as_deref().map(|model| (model, version)),
                now_ms: ambient.now_ms(),
            };
            let wish = asking.enrol(&key, &ambient.name());
            let wish = wish.map_err(|error| unusable(&self.own.key, error))?;
            let said = post(&fetch, &format!("{gateway}/agents/enroll"), wish).await?;
            let status = said.status;
            match status {
                StatusCode::OK => return approved(common, &said, &thumbprint),
                StatusCode::FORBIDDEN => {
                    let why = format!("a person at {gateway} turned this key away: {thumbprint}");
                    return Err(Failure::refused(why));
                }
                StatusCode::ACCEPTED if !told => {
                    told = true;
                    waits(common, gateway, &thumbprint);
                }
                StatusCode::ACCEPTED | StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {}
                _ => return Err(said.refused(gateway)),
            }
            if Instant::now() + look > end {
                // Asked and heard: what comes next is a person's.
                let asked_once = self.wait == 0 && status == StatusCode::ACCEPTED;
                return if asked_once {
                    Ok(())
                } else {
                    Err(Failure::does_not_hold(format!(
                        "nobody at {gateway} has decided on {thumbprint} yet; run this again to go on waiting"
                    )))
                };
            }
            tokio::time::sleep(look).await;
            look = (look * 2).min(LOOK_MAX);
        }
    }
}

impl Rekey {
    pub(crate) fn run(&self, common: &Common) -> Result<(), Failure> {
        block_on(self.ask(common))
    }

    async fn ask(&self, common: &Common) -> Result<(), Failure> {
        let (gateway, fetch, path) = (self.own.audience()?, Fetch::new()?, &self.own.key);
        let url = format!("{gateway}/agents/rotate");
        if !path.exists() {
            let why = format!(
                "{} is not there; `sallyport agent enroll` makes it",
                path.display()
            );
            return Err(Failure::configuration(why));
        }
        let key = own_key(path)?;
        // The next key is on the disk before anybody hears of it, and stays there until it has taken the place.
        let beside = next_to(path);
        let interrupted = beside.exists();
        let next = own_key(&beside)?;
        let ambient = Ambient::system();
        let signed = |by: &ClientKey| {
            let asking = Asking {
                name: &self.own.name,
                audience: gateway,
                model: None,
                now_ms: ambient.now_ms(),
            };
            let ids = [ambient.name(), ambient.name()];
            let request = asking.rotate(by, &next, [&ids[0], &ids[1]]);
            request.map_err(|error| unusable(path, error))
        };
        // A run that was interrupted may have got through: then the next key is the agent's, and the gateway says so.
        let mut said = None;
        if interrupted {
            let got_through = post(&fetch, &url, signed(&next)?).await?;
            said = Some(got_through).filter(|said| said.status == StatusCode::OK);
        }
        let said = match said {
            Some(said) => said,
            None => post(&fetch, &url, signed(&key)?).await?,
        };
        if said.status != StatusCode::OK {
            return Err(said.refused(gateway));
        }
        RealDisk
            .rename(&beside, path)
            .and_then(|()| RealDisk.sync_dir(folder(path)))
            .map_err(|error| unusable(path, error))?;
        let thumbprint = next.thumbprint().map_err(|error| unusable(path, error))?;
        told(common, "rotated", &thumbprint, Some(&self.own.name), || {
            format!(
                "the key of {} is {thumbprint} now, in {}",
                self.own.name,
                path.display()
            )
        });
        Ok(())
    }
}

impl Own {
    /// The gateway as it calls itself. What is signed is for it alone, and goes there protected or not at all.
    fn audience(&self) -> Result<&str, Failure> {
        let gateway = self.gateway.trim_end_matches('/');
        let wrong = || {
            Failure::configuration(format!(
                "`{}` is no URL of a gateway: https://HOST, or http:// to this machine",
                visible(gateway)
            ))
        };
        let url: Uri = gateway.parse().map_err(|_| wrong())?;
        let here = matches!(url.host(), Some("127.0.0.1" | "[::1]" | "localhost"));
        let fits = matches!(url.scheme_str(), Some("https")) || (url.scheme_str() == Some("http") && here);
        if fits && url.host().is_some() && matches!(url.path(), "" | "/") {
            Ok(gateway)
        } else {
            Err(wrong())
        }
    }
}

impl Said {
    fn text(&self, name: &str) -> String {
        let root = self.body.as_ref().map(Document::root);
        let text = root.and_then(|root| root.get(name)).and_then(Node::as_str);
        text.map(|text| visible(&text)).unwrap_or_default()
    }

    fn refused(&self, gateway: &str) -> Failure {
        let why = match self.status {
            StatusCode::NOT_FOUND => {
                "nobody can ask there: say `enrolment: on` in its configuration".to_owned()
            }
            status => format!(
                "{status} {}: {}",
                self.text("error"),
                self.text("error_description")
            ),
        };
        Failure::refused(format!("{gateway} refuses: {why}"))
    }
}

/// The key of a file; a new one where there is none.
fn own_key(path: &Path) -> Result<ClientKey, Failure> {
    if path.exists() {
        private("--key", path)
            .map_err(|problem| Failure::configuration(format!("{}; {}", problem.what, problem.remedy)))?;
        let text = std::fs::read_to_string(path).map_err(|error| unusable(path, error))?;
        return ClientKey::from_pem(&text).map_err(|error| unusable(path, error));
    }
    let key = ClientKey::generate().map_err(|error| unusable(path, error))?;
    // Made new or not at all, for its owner alone.
    let file = RealDisk
        .open(path, How::Create)
        .map_err(|error| unusable(path, error))?;
    file.write_at(key.to_pem().as_bytes(), 0)
        .and_then(|()| file.sync())
        .and_then(|()| RealDisk.sync_dir(folder(path)))
        .map_err(|error| unusable(path, error))?;
    Ok(key)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(place) if !place.as_os_str().is_empty() => place,
        Some(_) | None => Path::new("."),
    }
}

fn next_to(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".next");
    PathBuf::from(name)
}

async fn post(fetch: &Fetch, url: &str, body: String) -> Result<Said, Failure> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(url)
        .header(CONTENT_TYPE, "application/jwt")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| Failure::configuration(format!("{url}: {error}")))?;
    let response = fetch.send(request).await?;
    let status = response.status();
    let whole = Fetch::whole(response).await?;
    Ok(Said {
        status,
        body: Document::parse(whole, Keys::Exact, &wire::bounds::ANSWER).ok(),
    })
}

fn approved(common: &Common, said: &Said, thumbprint: &str) -> Result<(), Failure> {
    let agent = said.text("agent");
    told(common, "approved", thumbprint, Some(&agent), || {
        format!("approved: the agent is {agent}, its key {thumbprint}")
    });
    Ok(())
}

fn waits(common: &Common, gateway: &str, thumbprint: &str) {
    told(common, "waiting", thumbprint, None, || {
        format!(
            "asked {gateway}. Have the person who lets agents in there compare this key and run:\n\n  \
             sallyport agent approve {thumbprint}\n"
        )
    });
}

fn told(
    common: &Common,
    status: &str,
    thumbprint: &str,
    agent: Option<&str>,
    words: impl FnOnce() -> String,
) {
    if !common.json {
        say(&words());
        return;
    }
    let line = object(|out| {
        out.string("status", status);
        out.string("key", thumbprint);
        if let Some(agent) = agent {
            out.string("agent", agent);
        }
    });
    say(&String::from_utf8_lossy(&line));
}

fn unusable(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::configuration(format!("{}: {error}", path.display()))
}
