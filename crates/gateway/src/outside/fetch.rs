//! HTTP requests of the command line's own: to a gateway, its issuer and its metadata. Never on behalf of a
//! message on the road.
//!
//! Certificates are believed that public authorities vouch for, and those of the PEM file that `SSL_CERT_FILE` names,
//! as with other programs.

use std::{net::Ipv4Addr, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};

use crate::{
    failure::Failure,
    outside::proxy::{Proxies, Through},
    tls,
};

/// The longest answer read whole, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A client; clones share its connections.
#[derive(Clone, Debug)]
pub(crate) struct Fetch(legacy::Client<HttpsConnector<Through>, Full<Bytes>>);

/// How connections are made.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    /// How long one may take to be made.
    pub(crate) connect: Duration,
    /// Addresses of IPv4 alone.
    pub(crate) is_ipv4: bool,
    /// Proxies, where they are to be used.
    pub(crate) proxies: Option<Arc<Proxies>>,
}

impl Default for Reach {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            is_ipv4: false,
            proxies: None,
        }
    }
}

/// The authorities the command line believes.
pub(crate) fn roots() -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(path) = std::env::var_os("SSL_CERT_FILE") {
        let more = tls::authorities(Path::new(&path));
        roots.add_parsable_certificates(
            more.map_err(|why| Failure::configuration(format!("SSL_CERT_FILE: {why}")))?,
        );
    }
    Ok(roots)
}

/// The authority that is named for one peer alone; where none is, those the command line believes.
pub(crate) fn roots_or(authority: Option<&Path>) -> Result<RootCertStore, Failure> {
    let Some(path) = authority else { return roots() };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(tls::authorities(path).map_err(Failure::configuration)?);
    Ok(roots)
}

impl Fetch {
    /// A client that never follows a redirect.
    pub(crate) fn new() -> Result<Self, Failure> {
        Self::reaching(Reach::default())
    }

    /// The same, with connections made so.
    pub(crate) fn reaching(reach: Reach) -> Result<Self, Failure> {
        Self::with(reach, roots()?)
    }

    /// The same, for whoever these authorities vouch for.
    pub(crate) fn trusting(roots: RootCertStore) -> Result<Self, Failure> {
        Self::with(Reach::default(), roots)
    }

    fn with(reach: Reach, roots: RootCertStore) -> Result<Self, Failure> {
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| Failure::other(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(reach.connect));
        if reach.is_ipv4 {
            http.set_local_address(Some(Ipv4Addr::UNSPECIFIED.into()));
        }
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1();
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build(https.wrap_connector(Through::new(http, reach.proxies)));
        Ok(Self(client))
    }

    /// Sends a request.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        let host = request
            .uri()
            .authority()
            .map(ToString::to_string)
            .unwrap_or_default();
        self.0.request(request).await.map_err(|error| {
            let mut text = format!("no connection to {host}: {error}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            Failure::unreachable(text)
        })
    }

    /// Reads an answer whole.
    pub(crate) async fn whole(response: Response<Incoming>) -> Result<Vec<u8>, Failure> {
        let mut body = response.into_body();
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| Failure::unreachable(format!("the answer broke off: {error}")))?;
            let Ok(data) = frame.into_data() else { continue };
            if whole.len() + data.len() > ANSWER_BYTES_MAX {
                return Err(Failure::unreachable("the answer is too long"));
            }
            whole.extend_from_slice(&data);
        }
        Ok(whole)
    }
}
