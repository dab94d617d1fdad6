//! The HTTP client, connections pooled by host: one for all servers but those whose TLS must be special.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::Incoming,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::{
        CryptoProvider,
        aws_lc_rs::{self, kx_group},
    },
};

use super::connector::Connector;
use crate::{HttpTarget, LinkError, PostQuantum, Protection};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    inner: legacy::Client<Connector, Full<Bytes>>,
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
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(256)
            .build(Connector {
                inner: https.wrap_connector(http),
                post_quantum: protection.post_quantum,
            });
        Ok(Self { inner })
    }

    /// Sends a request.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, LinkError> {
        let host = request
            .uri()
            .authority()
            .map(ToString::to_string)
            .unwrap_or_default();
        self.inner
            .request(request)
            .await
            .map_err(|error| LinkError::Unreachable(format!("no connection to {host}: {}", chain(&error))))
    }
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

/// The headers configuration says are sent along.
pub(super) fn configured(target: &HttpTarget) -> Result<HeaderMap, LinkError> {
    let unusable = |what: &str| LinkError::Unreachable(format!("{what} cannot be put into a header"));
    let mut headers = HeaderMap::new();
    for (name, value) in &target.headers {
        let name = HeaderName::try_from(name).map_err(|_| unusable("a configured header name"))?;
        let mut value = HeaderValue::try_from(value).map_err(|_| unusable("a configured header value"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// An error with its causes, since `Display` shows the outermost alone.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
