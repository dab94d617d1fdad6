//! What can go wrong on the far side, and how it is told.

use std::time::Duration;

use pipeline::{Objection, refusal};
use thiserror::Error;
use wire::json::object;

use crate::credentials::Consent;

/// Why a call came to nothing.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum LinkError {
    /// The server cannot do this in the revision it speaks.
    #[error("the server does not offer this: {0}")]
    Absent(&'static str),
    /// A person has to agree first.
    #[error("{0}")]
    Consent(Box<Consent>),
    /// The connection or the process ended.
    #[error("the server went away: {0}")]
    Closed(String),
    /// The processes that are started for this caller keep crashing.
    #[error("{0}")]
    Crashing(String),
    /// It broke off after a request was sent that may have changed something.
    #[error("the request was sent, and whether it was done is not known: {0}")]
    Doubtful(String),
    /// What came back is not an answer.
    #[error("the server's answer is not usable: {0}")]
    Garbled(String),
    /// The connection broke after a request was sent over it.
    #[error("{0}")]
    Lost(String),
    /// It did not answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// It does not take the gateway's credential, or there is none for it.
    #[error("{0}")]
    Unauthorized(String),
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
            LinkError::Consent(consent) => return asked(consent),
            LinkError::Unauthorized(_) => &refusal::UPSTREAM_UNAUTHORIZED,
            LinkError::Absent(_) => &refusal::METHOD_UNKNOWN,
            LinkError::Closed(_)
            | LinkError::Crashing(_)
            | LinkError::Lost(_)
            | LinkError::Unreachable(_) => &refusal::UPSTREAM_UNREACHABLE,
            LinkError::Doubtful(_) => &refusal::UPSTREAM_DOUBTFUL,
            LinkError::Garbled(_) => &refusal::UPSTREAM_GARBLED,
            LinkError::Timeout(_) => &refusal::UPSTREAM_TIMEOUT,
            LinkError::Withdrawn => &refusal::WITHDRAWN,
        };
        Self::new(code, error.to_string())
    }
}

impl LinkError {
    /// Whether it says something of one caller, and nothing of the server.
    pub(crate) fn is_of_the_caller(&self) -> bool {
        matches!(
            self,
            Self::Consent(_) | Self::Crashing(_) | Self::Unauthorized(_) | Self::Withdrawn
        )
    }
}

/// The question, for whoever can show it.
fn asked(consent: &Consent) -> Objection {
    let data = object(|out| {
        out.string("elicitationId", &consent.id);
        out.string("url", &consent.url);
        out.string("message", &consent.message);
    });
    let shown = format!(
        "{}: open {} and make the call again",
        consent.message, consent.url
    );
    Objection {
        data: Some(data.into_boxed_slice()),
        ..Objection::new(&refusal::CONSENT_NEEDED, consent.message.clone()).showing(shown)
    }
}
