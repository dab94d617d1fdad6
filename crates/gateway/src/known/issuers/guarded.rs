//! Requests to a URL that somebody else chose: the one fetcher for all that is discovered.
//!
//! INVARIANT (address): the name is resolved once, every address it has is looked at, and the connection goes to one
//! of those looked at; nothing is resolved again between check and use. Redirects are answers like others, and
//! none that is wanted. Size and time are bounded. (Through a proxy, `connect --enable-proxy` alone, names are the proxy's.)

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, StatusCode, Uri,
    client::conn::http1,
    header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use identity::Secret;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::outside::{
    addresses::{Kind, connect, kind},
    proxy::Proxies,
};

/// The longest answer read, in bytes.
const ANSWER_BYTES_MAX: usize = 512 * 1024;
/// How long all of it may take.
const WAIT: Duration = Duration::from_secs(10);

/// Which addresses may be reached.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Network {
    /// Those anybody can reach, over https. The default.
    #[default]
    Public,
    /// Those of one's own networks, too, and this machine's even over http.
    Private,
}

/// A request.
#[derive(Debug)]
pub(crate) struct Call<'c> {
    pub(crate) method: Method,
    pub(crate) url: &'c str,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Vec<u8>,
}

impl<'c> Call<'c> {
    pub(crate) fn get(url: &'c str) -> Self {
        Self {
            method: Method::GET,
            url,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }
}

/// A key as most servers want to be shown it. What is written here to make the header is wiped; the header's own copy is
/// the connection's, and goes with it.
pub(crate) fn bearer(key: &Secret) -> Zeroizing<String> {
    let mut shown = Zeroizing::new(String::with_capacity("Bearer ".len() + key.expose().len()));
    shown.push_str("Bearer ");
    shown.push_str(key.expose());
    shown
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Guarded {
    network: Network,
    tls: TlsConnector,
    proxies: Option<Arc<Proxies>>,
    wait: Duration,
    answer_bytes_max: usize,
}

impl Guarded {
    /// The same through these proxies, which then decide what names lead to: addresses are judged as always, and names that
    /// go through a proxy are resolved there.
    pub(crate) fn through(self, proxies: Option<Arc<Proxies>>) -> Self {
        Self { proxies, ..self }
    }

    /// A fetcher that believes these authorities, or the public ones where there are none.
    pub(crate) fn new(network: Network, authorities: &[CertificateDer<'static>]) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        if authorities.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        for authority in authorities {
            roots.add(authority.clone()).map_err(|error| error.to_string())?;
        }
        Self::believing(network, roots)
    }

    /// A fetcher that believes these.
    pub(crate) fn believing(network: Network, roots: RootCertStore) -> Result<Self, String> {
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            network,
            tls: TlsConnector::from(Arc::new(tls)),
            proxies: None,
            wait: WAIT,
            answer_bytes_max: ANSWER_BYTES_MAX,
        })
    }

    /// Waits so long, and reads so much.
    pub(crate) fn within(self, wait: Duration, answer_bytes_max: usize) -> Self {
        Self {
            wait,
            answer_bytes_max,
            ..self
        }
    }

    /// What is at a URL.
    pub(crate) async fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        let fetched = self.send(Call::get(url)).await?;
        match fetched.status {
            StatusCode::OK => Ok(fetched.body),
            status if status.is_redirection() => {
                Err(format!("{url}: it answered {status}; redirects are not followed"))
            }
            status => Err(format!("{url}: it answered {status}")),
        }
    }

    /// The answer to a request, whatever its status.
    pub(crate) async fn send(&self, call: Call<'_>) -> Result<Fetched, String> {
        let url = call.url;
        let fetched = tokio::time::timeout(self.wait, self.fetch(call)).await;
        let fetched = fetched.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.wait)));
        fetched.map_err(|why| format!("{url}: {why}"))
    }

    async fn fetch(&self, call: Call<'_>) -> Result<Fetched, String> {
        let target = Target::parse(call.url)?;
        let stream = match self.by_proxy(&target).await? {
            Some(stream) => stream,
            None => connect(&self.addresses(&target).await?).await?,
        };
        if !target.is_tls {
            return ask(stream, &target, call, self.answer_bytes_max).await;
        }
        let name = ServerName::try_from(target.host.clone()).map_err(|_| "its host is no name".to_owned())?;
        let stream = self.tls.connect(name, stream).await;
        let stream = stream.map_err(|error| error.to_string())?;
        ask(stream, &target, call, self.answer_bytes_max).await
    }

    /// A connection through a proxy, if there is one for it.
    async fn by_proxy(&self, target: &Target) -> Result<Option<TcpStream>, String> {
        let Some(proxies) = &self.proxies else {
            return Ok(None);
        };
        match target.host.parse::<IpAddr>() {
            Ok(address) => self.may_reach(address, target.is_tls)?,
            Err(_) if !target.is_tls => return Ok(None),
            Err(_) => {}
        }
        let stream = proxies.connect(target.is_tls, &target.host, target.port).await;
        stream.transpose()
    }

    /// The addresses to connect to: every one the name has must be allowed.
    async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, String> {
        let resolved = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
        let addresses: Vec<_> = resolved.map_err(|error| error.to_string())?.collect();
        for address in &addresses {
            self.may_reach(address.ip(), target.is_tls)?;
        }
        Ok(addresses)
    }

    fn may_reach(&self, address: IpAddr, is_tls: bool) -> Result<(), String> {
        let address = address.to_canonical();
        match (self.network, kind(address)) {
            (Network::Public | Network::Private, Kind::Public) if is_tls => Ok(()),
            (Network::Private, Kind::Private) if is_tls => Ok(()),
            (Network::Private, Kind::Loopback) => Ok(()),
            (_, Kind::Never) => Err(format!("{address} is never reached")),
            (_, Kind::Public) | (Network::Private, Kind::Private) => Err("it is not https".to_owned()),
            (Network::Public, Kind::Loopback | Kind::Private) => {
                let remedy = "`network: private` allows that";
                Err(format!("{address} is not a public address; {remedy}"))
            }
        }
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("network", &self.network).finish()
    }
}

/// A URL, taken apart.
struct Target {
    is_tls: bool,
    host: String,
    port: u16,
    authority: String,
    path: String,
}

impl Target {
    fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|_| "it is not a URL".to_owned())?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err("it is neither https nor http".to_owned()),
        };
        let authority = uri.authority().ok_or("it names no host")?;
        if authority.as_str().contains('@') {
            return Err("it has a user in it".to_owned());
        }
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        Ok(Self {
            is_tls,
            host,
            port: authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            authority: authority.to_string(),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        })
    }
}

async fn ask<S>(stream: S, target: &Target, call: Call<'_>, bytes_max: usize) -> Result<Fetched, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let mut request = Request::new(Full::new(Bytes::from(call.body)));
    *request.method_mut() = call.method;
    *request.uri_mut() = target.path.parse().map_err(|_| "it is not a URL".to_owned())?;
    let host = HeaderValue::try_from(&target.authority).map_err(|_| "it is not a URL".to_owned())?;
    request.headers_mut().insert(HOST, host);
    request
        .headers_mut()
        .insert(ACCEPT, HeaderValue::from_static("application/json"));
    for (name, value) in call.headers {
        request.headers_mut().insert(name, value);
    }
    let answered = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| error.to_string())?;
        let (head, body) = response.into_parts();
        // A stream may never end, and nothing that is wanted comes as one.
        let is_stream = |value: &HeaderValue| value.as_bytes().starts_with(b"text/event-stream");
        let body = match head.headers.get(CONTENT_TYPE).is_some_and(is_stream) {
            true => Vec::new(),
            false => whole(body, bytes_max).await?,
        };
        Ok(Fetched {
            status: head.status,
            headers: head.headers,
            body,
        })
    };
    let answered = answered.await;
    connection.abort();
    answered
}

async fn whole(mut body: hyper::body::Incoming, bytes_max: usize) -> Result<Vec<u8>, String> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| error.to_string())?.into_data() else {
            continue;
        };
        if whole.len() + data.len() > bytes_max {
            return Err(format!("its answer is longer than {bytes_max} bytes"));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::{Guarded, Network};

    /// Every spelling of an address of this machine, and what is no URL for us.
    #[tokio::test]
    async fn what_is_not_public_is_not_fetched() {
        let guarded = Guarded::new(Network::Public, &[]).expect("a fetcher");
        for url in [
            "http://127.0.0.1/jwks",
            "https://127.0.0.1/jwks",
            "https://localhost/jwks",
            "https://[::1]/jwks",
            "https://[::ffff:127.0.0.1]/jwks",
            "https://2130706433/jwks",
            "https://0x7f.1/jwks",
            "https://127.1/jwks",
            "https://0/jwks",
            "https://10.0.0.1/jwks",
            "https://169.254.169.254/latest/meta-data",
            "https://user:password@8.8.8.8/jwks",
            "http://8.8.8.8/jwks",
            "file:///etc/passwd",
            "gopher://127.0.0.1/",
            "/etc/passwd",
            "",
        ] {
            let why = guarded.get(url).await.expect_err(url);
            assert!(
                !why.contains("refused") && !why.contains("no answer"),
                "{why}: it was tried"
            );
        }
        let own = Guarded::new(Network::Private, &[]).expect("a fetcher");
        for url in [
            "https://169.254.169.254/latest/meta-data",
            "http://169.254.169.254/latest/meta-data",
            "http://10.0.0.1/jwks",
            "http://8.8.8.8/jwks",
        ] {
            let why = own.get(url).await.expect_err(url);
            assert!(
                why.contains("never reached") || why.contains("not https"),
                "{why}"
            );
        }
    }
}
