//! What can go wrong on the far side, and how it is told.

use std::time::Duration;

use pipeline::{Objection, refusal};
use thiserror::Error;

/// Why a call came to nothing.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum LinkError {
    /// The server cannot do this in the revision it speaks.
    #[error("the server does not offer this: {0}")]
    Absent(&'static str),
    /// The connection or the process ended.
    #[error("the server went away: {0}")]
    Closed(String),
    /// What came back is not an answer.
    #[error("the server's answer is not usable: {0}")]
    Garbled(String),
    /// It did not answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// It cannot be started or connected to.
    #[error("{0}")]
    Unreachable(String),
    /// The caller withdrew the call.
    #[error("the caller withdrew the call")]
    Withdrawn,
}

impl From<LinkError> for Objection {
    fn from(error: LinkError) -> Self {
        let code = match &error {
            LinkError::Absent(_) => &refusal::METHOD_UNKNOWN,
            LinkError::Closed(_) | LinkError::Unreachable(_) => &refusal::UPSTREAM_UNREACHABLE,
            LinkError::Garbled(_) => &refusal::UPSTREAM_GARBLED,
            LinkError::Timeout(_) => &refusal::UPSTREAM_TIMEOUT,
            LinkError::Withdrawn => &refusal::WITHDRAWN,
        };
        Self::new(code, error.to_string())
    }
}
