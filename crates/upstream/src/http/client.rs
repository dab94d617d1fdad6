//! The HTTP client, connections pooled by host: one for all servers but those whose TLS must be special.

use std::{future::poll_fn, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, Uri,
    header::{HOST, HeaderMap, HeaderName, HeaderValue},
    http::uri::PathAndQuery,
};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::{
        CryptoProvider,
        aws_lc_rs::{self, kx_group},
    },
};

use tower_service::Service;

use super::{
    connector::Connector,
    lane::{Answered, Lane, Origin, Pool, Sent, origin},
};
use crate::{HttpTarget, LinkError, PostQuantum, Protection};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    connector: Connector,
    pool: Pool,
}

impl Client {
    /// A client that speaks TLS as demanded.
    pub(crate) fn new(protection: &Protection) -> Result<Self, LinkError> {
        let tls = tls(protection)?;
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(Duration::from_secs(10)));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1();
        let connector = Connector {
            inner: https.wrap_connector(http),
            post_quantum: protection.post_quantum,
        };
        Ok(Self {
            connector,
            pool: Pool::default(),
        })
    }

    /// Sends a request.
    pub(crate) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Answered>, LinkError> {
        let url = request.uri().clone();
        let said = |why: String| {
            let host = url.authority().map(ToString::to_string).unwrap_or_default();
            format!("no connection to {host}: {why}")
        };
        let no_connection = |why| LinkError::Unreachable(said(why));
        let lost = |error| LinkError::Lost(said(chain(&error)));
        let origin = origin(&url).ok_or_else(|| no_connection("the URL is not absolute".to_owned()))?;
        address(&mut request, &url).map_err(no_connection)?;
        while let Some(lane) = self.pool.take(&origin) {
            match lane.send(request, &self.pool).await {
                Sent::Answered(response) => return Ok(response),
                // The server closed it a moment ago.
                Sent::Unsent(unsent, _) => request = unsent,
                Sent::Failed(error) => return Err(lost(error)),
            }
        }
        let lane = Box::pin(self.connect(url.clone(), origin));
        let lane = lane.await.map_err(|error| no_connection(chain(&*error)))?;
        match lane.send(request, &self.pool).await {
            Sent::Answered(response) => Ok(response),
            Sent::Unsent(_, error) => Err(no_connection(chain(&error))),
            Sent::Failed(error) => Err(lost(error)),
        }
    }

    async fn connect(
        &self,
        url: Uri,
        origin: Origin,
    ) -> Result<Lane, Box<dyn std::error::Error + Send + Sync>> {
        let mut connector = self.connector.clone();
        poll_fn(|cx| connector.poll_ready(cx)).await?;
        let noted = connector.call(url).await?;
        let tls = noted.tls.clone();
        Ok(Lane::over(noted, tls, origin).await?)
    }
}

/// Says in the head of a request where it goes (RFC 9112, section 3.2): the path in its first line, the host in a
/// header of its own.
fn address(request: &mut Request<Full<Bytes>>, url: &Uri) -> Result<(), String> {
    let path = url.path_and_query().cloned();
    *request.uri_mut() = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    if request.headers().contains_key(HOST) {
        return Ok(());
    }
    let host = url.host().unwrap_or_default();
    let usual = if url.scheme_str() == Some("https") {
        443
    } else {
        80
    };
    let host = match url.port().filter(|port| port.as_u16() != usual) {
        Some(port) => HeaderValue::try_from([host, ":", port.as_str()].concat()),
        None => HeaderValue::from_str(host),
    };
    let host = host.map_err(|_| "its name cannot be put into a header".to_owned())?;
    request.headers_mut().insert(HOST, host);
    Ok(())
}

fn tls(protection: &Protection) -> Result<ClientConfig, LinkError> {
    let unable = |error: rustls::Error| LinkError::Unreachable(format!("TLS as configured: {error}"));
    let mut roots = RootCertStore::empty();
    if protection.authorities.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for authority in &protection.authorities {
        roots.add(authority.clone()).map_err(unable)?;
    }
    let mut provider: CryptoProvider = aws_lc_rs::default_provider();
    if protection.post_quantum == PostQuantum::Required {
        provider.kx_groups = vec![kx_group::X25519MLKEM768];
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unable)?
        .with_root_certificates(roots);
    match &protection.own {
        None => Ok(tls.with_no_client_auth()),
        Some(own) => tls
            .with_client_auth_cert(own.chain.clone(), own.key.clone_key())
            .map_err(unable),
    }
}

/// Headers that a request has of the gateway's own, at most as a rule.
const OWN_HEADERS: usize = 8;

/// The headers configuration says are sent along.
pub(crate) fn configured(target: &HttpTarget) -> Result<HeaderMap, LinkError> {
    let unusable = |what: &str| LinkError::Unreachable(format!("{what} cannot be put into a header"));
    let mut headers = HeaderMap::with_capacity(target.headers.len() + OWN_HEADERS);
    for (name, value) in &target.headers {
        let name = HeaderName::try_from(name).map_err(|_| unusable("a configured header name"))?;
        let mut value = HeaderValue::try_from(value).map_err(|_| unusable("a configured header value"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// An error with its causes, since `Display` shows the outermost alone.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
