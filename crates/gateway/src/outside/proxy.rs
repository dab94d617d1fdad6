//! `connect --enable-proxy`: connections are asked for at the proxy that the environment names (`HTTPS_PROXY`, `HTTP_PROXY`,
//! `NO_PROXY`), by CONNECT, so that TLS is with the server itself and the proxy sees no more than its name.
//!
//! It knows no requests: a connection is all it makes.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::Uri;
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower_service::Service;

use crate::failure::Failure;

/// The longest head of a proxy's answer read, in bytes.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// How long a proxy may take to connect.
const WAIT: Duration = Duration::from_secs(10);

/// The proxies of the environment.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Proxies {
    https: Option<Proxy>,
    http: Option<Proxy>,
    /// Hosts that are reached directly, each with a port if it has one.
    direct: Vec<(String, Option<u16>)>,
}

#[derive(Clone, Eq, PartialEq)]
struct Proxy {
    host: String,
    port: u16,
    /// `Proxy-Authorization`.
    authorization: Option<String>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Proxies {
    /// Those of the environment, under either spelling.
    pub(crate) fn of_environment() -> Result<Arc<Self>, Failure> {
        let variable = |name: &str| {
            let found = [name.to_ascii_lowercase(), name.to_owned()]
                .iter()
                .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
            found.map(|value| (name.to_owned(), value))
        };
        let proxy = |found: Option<(String, String)>| {
            let read = found.map(|(name, value)| {
                Proxy::parse(&value).map_err(|why| Failure::configuration(format!("{name}: {why}")))
            });
            read.transpose()
        };
        let direct = variable("NO_PROXY").map(|(_, value)| value).unwrap_or_default();
        let proxies = Self {
            https: proxy(variable("HTTPS_PROXY"))?,
            http: proxy(variable("HTTP_PROXY"))?,
            direct: Self::direct(&direct),
        };
        if proxies.https.is_none() && proxies.http.is_none() {
            let why = "--enable-proxy: neither HTTPS_PROXY nor HTTP_PROXY is set";
            return Err(Failure::configuration(why));
        }
        Ok(Arc::new(proxies))
    }

    fn direct(said: &str) -> Vec<(String, Option<u16>)> {
        let entries = said
            .split([',', ' '])
            .map(str::trim)
            .filter(|entry| !entry.is_empty());
        let read = entries.map(|entry| {
            let split = entry.rsplit_once(':').filter(|(host, _)| !host.contains(':'));
            let (host, port) = match split.map(|(host, port)| (host, port.parse().ok())) {
                Some((host, Some(port))) => (host, Some(port)),
                Some((_, None)) | None => (entry, None),
            };
            let host = host.trim_start_matches('*').trim_matches(['[', ']']);
            (host.to_ascii_lowercase(), port)
        });
        read.collect()
    }

    /// The way to a host, if it is by a proxy.
    fn way(&self, is_tls: bool, host: &str, port: u16) -> Option<&Proxy> {
        let host = host.to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        // To a proxy this machine would be another, and http to this one would be in clear all the way there.
        if host == "localhost" || address.is_some_and(|address| address.to_canonical().is_loopback()) {
            return None;
        }
        let is_direct = self.direct.iter().any(|(entry, of)| {
            let is_host = match entry.strip_prefix('.') {
                _ if entry.is_empty() => true,
                Some(domain) => host == domain || host.ends_with(entry),
                None => host == *entry || host.ends_with(&format!(".{entry}")),
            };
            is_host && of.is_none_or(|of| of == port)
        });
        let way = if is_tls { &self.https } else { &self.http };
        way.as_ref().filter(|_| !is_direct)
    }

    /// A connection to a host through its proxy; none where there is none for it.
    pub(crate) async fn connect(
        &self,
        is_tls: bool,
        host: &str,
        port: u16,
    ) -> Option<Result<TcpStream, String>> {
        let proxy = self.way(is_tls, host, port)?;
        let tunnel = tokio::time::timeout(WAIT, proxy.tunnel(host, port)).await;
        let tunnel = tunnel.unwrap_or_else(|_| Err(format!("it does not answer within {WAIT:?}")));
        Some(tunnel.map_err(|why| format!("the proxy {proxy:?}: {why}")))
    }
}

impl Proxy {
    fn parse(said: &str) -> Result<Self, String> {
        // What is wrong is not repeated: it may have a password in it.
        let wrong = || "it is not a proxy's URL; write http://HOST:PORT".to_owned();
        let whole = if said.contains("://") {
            said.to_owned()
        } else {
            format!("http://{said}")
        };
        let uri: Uri = whole.parse().map_err(|_| wrong())?;
        if uri.scheme_str() != Some("http") {
            return Err(
                "proxies are spoken to over http:// here; what goes through them is encrypted".to_owned(),
            );
        }
        let authority = uri.authority().ok_or_else(wrong)?;
        let authorization = authority.as_str().rsplit_once('@').map(|(user, _)| {
            let plain: Vec<u8> = percent_decoded(user);
            format!("Basic {}", STANDARD.encode(plain))
        });
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authorization,
        })
    }

    async fn tunnel(&self, host: &str, port: u16) -> Result<TcpStream, String> {
        let to = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        let failed = |error: std::io::Error| error.to_string();
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let mut stream = stream.map_err(failed)?;
        let authorization = self.authorization.as_deref();
        let authorization =
            authorization.map_or_else(String::new, |text| format!("Proxy-Authorization: {text}\r\n"));
        let asks = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{authorization}\r\n");
        stream.write_all(asks.as_bytes()).await.map_err(failed)?;
        // One byte at a time: what comes behind the head is the server's.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.map_err(failed)?);
            if head.len() > HEAD_BYTES_MAX {
                return Err("its answer is too long".to_owned());
            }
        }
        let status = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let status = String::from_utf8_lossy(status).into_owned();
        match status.split(' ').nth(1) {
            Some(code) if code.starts_with('2') && code.len() == 3 => Ok(stream),
            Some(_) | None => Err(format!("it does not connect to {to}: {}", status.escape_debug())),
        }
    }
}

fn percent_decoded(text: &str) -> Vec<u8> {
    form_urlencoded::parse(format!("x={}", text.replace('+', "%2B")).as_bytes())
        .next()
        .map(|(_, value)| value.into_owned().into_bytes())
        .unwrap_or_default()
}

/// Connections of a client: through a proxy where there is one for the host, and directly where there is none.
#[derive(Clone, Debug)]
pub(crate) struct Through {
    http: HttpConnector,
    proxies: Option<Arc<Proxies>>,
}

impl Through {
    pub(crate) fn new(http: HttpConnector, proxies: Option<Arc<Proxies>>) -> Self {
        Self { http, proxies }
    }
}

type Made = Result<TokioIo<TcpStream>, Box<dyn std::error::Error + Send + Sync>>;

impl Service<Uri> for Through {
    type Response = TokioIo<TcpStream>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Made> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.http.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let mut http = self.http.clone();
        let proxies = self.proxies.clone();
        Box::pin(async move {
            let is_tls = uri.scheme_str() == Some("https");
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
            if let Some(proxies) = proxies
                && let Some(stream) = proxies.connect(is_tls, &host, port).await
            {
                return stream.map(TokioIo::new).map_err(Into::into);
            }
            Ok(http.call(uri).await?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_reached_directly_that_no_proxy_names() {
        let proxies = Proxies {
            https: Some(Proxy::parse("http://us%40er:p%3Ass@proxy.example:3128").expect("a proxy")),
            http: None,
            direct: Proxies::direct(".corp.example,other.example:8443 10.0.0.1"),
        };
        let by_proxy = |host: &str, port: u16| proxies.way(true, host, port).is_some();
        for (host, port, is_by_proxy) in [
            ("far.example", 443, true),
            ("LOCALHOST", 443, false),
            ("127.0.0.1", 443, false),
            ("::1", 443, false),
            ("::ffff:127.0.0.1", 443, false),
            ("corp.example", 443, false),
            ("a.corp.example", 443, false),
            ("acorp.example", 443, true),
            ("other.example", 443, true),
            ("other.example", 8443, false),
            ("10.0.0.1", 443, false),
            ("10.0.0.11", 443, true),
        ] {
            assert_eq!(by_proxy(host, port), is_by_proxy, "{host}:{port}");
        }
        assert!(proxies.way(false, "far.example", 80).is_none());
        let proxy = proxies.https.as_ref().expect("a proxy");
        let said = STANDARD.encode("us@er:p:ss");
        assert_eq!(
            proxy.authorization.as_deref(),
            Some(format!("Basic {said}").as_str())
        );
        assert!(!format!("{proxies:?}").contains(&said));
        let all = Proxies {
            direct: Proxies::direct("*"),
            ..proxies
        };
        assert!(all.way(true, "far.example", 443).is_none());
        for wrong in [
            "https://proxy.example",
            "socks5://proxy.example",
            "http://",
            "a b",
        ] {
            let why = Proxy::parse(wrong).expect_err(wrong);
            assert!(!why.contains("proxy.example"), "{why}");
        }
    }
}
