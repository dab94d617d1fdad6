//! Bodies: reading requests within bounds, writing answers.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Response, StatusCode,
    body::{Body as _, Incoming},
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};
use pipeline::{Objection, refusal};

/// How long a request's body may take to arrive.
const BODY_WAIT: Duration = Duration::from_secs(30);

/// The body of an answer.
pub(super) type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// Reads a body of a bounded size in a bounded time.
pub(super) async fn read(body: Incoming, bytes_max: usize) -> Result<Vec<u8>, Objection> {
    let too_large = || {
        Objection::new(
            &refusal::MESSAGE_TOO_LARGE,
            format!("the body is over {bytes_max} bytes"),
        )
    };
    let announced = body.size_hint().lower();
    if usize::try_from(announced).map_or(true, |announced| announced > bytes_max) {
        return Err(too_large());
    }
    let reading = async {
        let mut body = body;
        let mut whole = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
        while let Some(frame) = body.frame().await {
            let broken = |_| Objection::new(&refusal::MESSAGE_MALFORMED, "the body ended early");
            let Ok(data) = frame.map_err(broken)?.into_data() else {
                continue;
            };
            if whole.len() + data.len() > bytes_max {
                return Err(too_large());
            }
            whole.extend_from_slice(&data);
        }
        Ok(whole)
    };
    let slow = |_| Objection::new(&refusal::MESSAGE_MALFORMED, "the body took too long");
    tokio::time::timeout(BODY_WAIT, reading).await.map_err(slow)?
}

/// A whole body.
pub(super) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// An answer with a JSON body that nobody may keep.
pub(super) fn json(status: StatusCode, bytes: Vec<u8>) -> Response<Body> {
    with_type(status, "application/json", bytes)
}

/// An answer that nobody may keep.
pub(super) fn with_type(status: StatusCode, content_type: &'static str, bytes: Vec<u8>) -> Response<Body> {
    let mut response = unkept(status, whole(bytes));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    unkept(status, whole(Bytes::new()))
}

/// An answer to another method than an address has.
pub(super) fn only(methods: &'static str) -> Response<Body> {
    let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
    let methods = HeaderValue::from_static(methods);
    response.headers_mut().insert(ALLOW, methods);
    response
}

fn unkept(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
