//! OAuth errors (RFC 6749 section 5.2 and what later RFCs add).

use thiserror::Error;

/// An error of the token endpoint.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{fault}: {description}")]
pub struct OauthError {
    /// Which error.
    pub fault: OauthFault,
    /// For developers of clients; holds nothing they did not send.
    pub description: String,
}

/// The error codes in use.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum OauthFault {
    /// The person said no, or may not say yes.
    #[error("access_denied")]
    AccessDenied,
    /// The person has not answered yet (RFC 8628).
    #[error("authorization_pending")]
    AuthorizationPending,
    /// The person did not answer in time (RFC 8628).
    #[error("expired_token")]
    ExpiredToken,
    /// RFC 9396.
    #[error("invalid_authorization_details")]
    InvalidAuthorizationDetails,
    /// The client is unknown or failed to authenticate.
    #[error("invalid_client")]
    InvalidClient,
    /// What a client says of itself cannot be (RFC 7591).
    #[error("invalid_client_metadata")]
    InvalidClientMetadata,
    /// RFC 9449.
    #[error("invalid_dpop_proof")]
    InvalidDpopProof,
    /// A code, a token or an assertion that is no ground for another.
    #[error("invalid_grant")]
    InvalidGrant,
    /// RFC 7591.
    #[error("invalid_redirect_uri")]
    InvalidRedirectUri,
    /// The request is malformed.
    #[error("invalid_request")]
    InvalidRequest,
    /// A scope the client may not have.
    #[error("invalid_scope")]
    InvalidScope,
    /// RFC 8707.
    #[error("invalid_target")]
    InvalidTarget,
    /// Nobody is logged in, and nobody may be asked (OpenID Connect).
    #[error("login_required")]
    LoginRequired,
    /// OpenID Connect.
    #[error("request_not_supported")]
    RequestNotSupported,
    /// OpenID Connect.
    #[error("request_uri_not_supported")]
    RequestUriNotSupported,
    /// Asked more often than was agreed (RFC 8628).
    #[error("slow_down")]
    SlowDown,
    /// The identity provider behind us failed.
    #[error("server_error")]
    ServerError,
    /// Too much is asked of us.
    #[error("temporarily_unavailable")]
    TemporarilyUnavailable,
    /// The client may not use this grant.
    #[error("unauthorized_client")]
    UnauthorizedClient,
    /// Nobody here logs in as the request wants it (OpenID Connect).
    #[error("unmet_authentication_requirements")]
    UnmetAuthentication,
    /// A grant we do not have.
    #[error("unsupported_grant_type")]
    UnsupportedGrantType,
    /// The proof needs the nonce that comes with this answer (RFC 9449).
    #[error("use_dpop_nonce")]
    UseDpopNonce,
    /// A response we do not give.
    #[error("unsupported_response_type")]
    UnsupportedResponseType,
}

impl OauthError {
    /// An error with its description.
    #[must_use]
    pub fn new(fault: OauthFault, description: impl Into<String>) -> Self {
        Self {
            fault,
            description: description.into(),
        }
    }

    /// The HTTP status: 401 for a client that failed to authenticate, 503 where it may work later, 400 otherwise.
    #[must_use]
    pub fn status(&self) -> u16 {
        if self.fault == OauthFault::InvalidClient {
            401
        } else if self.fault == OauthFault::TemporarilyUnavailable {
            503
        } else {
            400
        }
    }

    /// Whether nothing is wrong yet: the same is asked again, and later.
    #[must_use]
    pub fn is_wait(&self) -> bool {
        matches!(
            self.fault,
            OauthFault::AuthorizationPending | OauthFault::SlowDown | OauthFault::UseDpopNonce
        )
    }

    /// The JSON body.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        wire::json::object(|out| {
            out.string("error", &self.fault.to_string());
            out.string("error_description", &self.description);
        })
    }
}
