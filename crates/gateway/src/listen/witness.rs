//! A witness over HTTP (C2SP tlog-witness): `POST /witness/add-checkpoint`, and what it saw last for who monitors.
//!
//! Who asks is proved by the checkpoint's signature alone.

use std::sync::Arc;

use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use records::ledger::witness::{Declined, SUBMISSION_BYTES_MAX};

use super::{
    House,
    body::{self, Body},
};
use crate::evidence::witness::Answer;

const TEXT: &str = "text/plain; charset=utf-8";

/// What is below `/witness/`.
pub(super) async fn answer(house: &Arc<House>, path: &str, request: Request<Incoming>) -> Response<Body> {
    if house.witness.duty.is_none() {
        return body::empty(StatusCode::NOT_FOUND);
    }
    match (request.method(), path) {
        (&Method::POST, "add-checkpoint") => add(house, request).await,
        (_, "add-checkpoint") => body::empty(StatusCode::METHOD_NOT_ALLOWED),
        (&Method::GET, path) => match path.strip_suffix("/checkpoint") {
            Some(origin) => seen(house, origin.to_owned()).await,
            None => body::empty(StatusCode::NOT_FOUND),
        },
        _ => body::empty(StatusCode::NOT_FOUND),
    }
}

async fn add(house: &Arc<House>, request: Request<Incoming>) -> Response<Body> {
    let bytes = match body::read(request.into_body(), SUBMISSION_BYTES_MAX).await {
        Ok(bytes) => bytes,
        Err(_) => return body::empty(StatusCode::BAD_REQUEST),
    };
    let working = Arc::clone(house);
    let done =
        tokio::task::spawn_blocking(move || working.witness.duty.as_ref().map(|duty| duty.add(&bytes)));
    match done.await {
        Ok(Some(Answer::Cosigned(lines))) => body::with_type(StatusCode::OK, TEXT, lines.into_bytes()),
        Ok(Some(Answer::Declined(declined))) => refused(&declined),
        Ok(Some(Answer::Failed(why))) => {
            tracing::error!(why, "a checkpoint cannot be witnessed");
            body::empty(StatusCode::SERVICE_UNAVAILABLE)
        }
        Ok(None) | Err(_) => body::empty(StatusCode::SERVICE_UNAVAILABLE),
    }
}

fn refused(declined: &Declined) -> Response<Body> {
    let status = match declined {
        Declined::Malformed(_) => StatusCode::BAD_REQUEST,
        Declined::UnknownLog(_) => StatusCode::NOT_FOUND,
        Declined::Untrusted(_) => StatusCode::FORBIDDEN,
        Declined::Conflict(size) => {
            let size = format!("{size}\n").into_bytes();
            return body::with_type(StatusCode::CONFLICT, "text/x.tlog.size", size);
        }
        Declined::Inconsistent(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    body::with_type(status, TEXT, format!("{declined}\n").into_bytes())
}

/// `/witness/<SHA-256 of the log's name>/checkpoint`
async fn seen(house: &Arc<House>, origin: String) -> Response<Body> {
    let working = Arc::clone(house);
    let read = tokio::task::spawn_blocking(move || {
        let duty = working.witness.duty.as_ref()?;
        duty.newest(&origin).ok().flatten()
    });
    match read.await {
        Ok(Some(note)) => body::with_type(StatusCode::OK, TEXT, note),
        Ok(None) | Err(_) => body::empty(StatusCode::NOT_FOUND),
    }
}
