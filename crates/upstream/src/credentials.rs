//! How requests to servers are proven: a port. This crate knows neither tokens nor those who give them; it says for
//! whom a request is, adds the headers it is given, and tells what the server answered.

use std::fmt;

use hyper::{
    HeaderMap, Method, StatusCode, Uri,
    header::{HeaderName, HeaderValue},
};
use pipeline::ports::{Boxed, Caller};
use wire::mcp::ServerName;

use crate::LinkError;

/// A request that is about to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Errand<'e> {
    /// To which server.
    pub server: &'e ServerName,
    /// For whom; for the gateway itself where there is nobody.
    pub caller: Option<&'e Caller>,
    /// Its method.
    pub method: &'e Method,
    /// Its URL.
    pub url: &'e Uri,
}

/// What to do after an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// Take the answer.
    Take,
    /// Send the request once more, with headers asked for anew.
    Again,
}

/// Where the proof of requests comes from.
pub trait Credentials: Send + Sync + 'static {
    /// What is sent along with a request.
    ///
    /// # Errors
    /// When there is something to prove and no way to do it.
    fn headers<'e>(
        &'e self,
        errand: Errand<'e>,
    ) -> Boxed<'e, Result<Vec<(HeaderName, HeaderValue)>, LinkError>>;

    /// The server answered a request that was sent with these headers.
    ///
    /// # Errors
    /// When it wants a proof that cannot be had.
    fn answered<'e>(
        &'e self,
        errand: Errand<'e>,
        sent: &'e [(HeaderName, HeaderValue)],
        status: StatusCode,
        headers: &'e HeaderMap,
    ) -> Boxed<'e, Result<Next, LinkError>>;
}

/// Proves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCredentials;

impl Credentials for NoCredentials {
    fn headers<'e>(&'e self, _: Errand<'e>) -> Boxed<'e, Result<Vec<(HeaderName, HeaderValue)>, LinkError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn answered<'e>(
        &'e self,
        _: Errand<'e>,
        _: &'e [(HeaderName, HeaderValue)],
        _: StatusCode,
        _: &'e HeaderMap,
    ) -> Boxed<'e, Result<Next, LinkError>> {
        Box::pin(std::future::ready(Ok(Next::Take)))
    }
}

/// A person has to agree before a server can be reached in their name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Consent {
    /// Names the question.
    pub id: String,
    /// Where they agree.
    pub url: String,
    /// What they are asked, in words.
    pub message: String,
}

impl fmt::Display for Consent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
