//! Connections to servers, each with what its TLS came to: version, group, and the server's certificate. Every
//! response says over which of them it came.

use std::{
    error::Error,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hyper::{
    Uri,
    rt::{Read, ReadBufCursor, Write},
};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use pipeline::{Tls, ports::Boxed};
use rustls::{AlertDescription, ClientConnection, PeerIncompatible, PeerMisbehaved};
use tokio::net::TcpStream;
use tower_service::Service;

use crate::PostQuantum;

type Failure = Box<dyn Error + Send + Sync>;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    pub(super) inner: HttpsConnector<HttpConnector>,
    pub(super) post_quantum: PostQuantum,
}

/// A connection, with what is known of it.
pub(super) struct Noted {
    stream: MaybeHttpsStream<TokioIo<TcpStream>>,
    /// None where there is no TLS.
    pub(super) tls: Option<Tls>,
}

impl Service<Uri> for Connector {
    type Response = Noted;
    type Error = Failure;
    type Future = Boxed<'static, Result<Noted, Failure>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connecting = self.inner.call(to);
        let post_quantum = self.post_quantum;
        Box::pin(async move {
            let stream = connecting.await.map_err(|error| told(error, post_quantum))?;
            let tls = match &stream {
                MaybeHttpsStream::Http(_) => None,
                MaybeHttpsStream::Https(tls) => Some(came_to(tls.inner().get_ref().1)),
            };
            Ok(Noted { stream, tls })
        })
    }
}

fn came_to(connection: &ClientConnection) -> Tls {
    let group = connection.negotiated_key_exchange_group();
    let certificate = connection
        .peer_certificates()
        .and_then(<[_]>::first)
        .map(|own| Arc::from(URL_SAFE_NO_PAD.encode(digest(&SHA256, own.as_ref()).as_ref())));
    Tls {
        // There is no other towards servers (`client::tls`).
        version: "TLSv1.3",
        group: group.and_then(|group| group.name().as_str()).unwrap_or("unknown"),
        certificate,
        workload: None,
    }
}

/// A server that knows no common group says no more than that the handshake failed; what that means is known here.
fn told(error: Failure, post_quantum: PostQuantum) -> Failure {
    let lacking = match tls_error(&*error) {
        Some(rustls::Error::AlertReceived(alert)) => matches!(
            alert,
            AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity
        ),
        Some(rustls::Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon)) => true,
        Some(rustls::Error::PeerMisbehaved(wrong)) => matches!(
            wrong,
            PeerMisbehaved::WrongGroupForKeyShare
                | PeerMisbehaved::IllegalHelloRetryRequestWithUnofferedNamedGroup
        ),
        Some(_) | None => false,
    };
    if lacking && post_quantum == PostQuantum::Required {
        let what = "the server takes no post-quantum key exchange (X25519MLKEM768), which is required for it";
        return io::Error::other(format!("{what}: {error}")).into();
    }
    error
}

/// The error of TLS in an error. The one an I/O error is made of is not its `source`.
fn tls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    let within = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    match within {
        Some(within) => tls_error(within),
        None => tls_error(error.source()?),
    }
}

impl Read for Noted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl Write for Noted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }
}
