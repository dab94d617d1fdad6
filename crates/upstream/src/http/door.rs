//! The way to one server for one caller: the client, and what proves each request.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response};
use pipeline::ports::Caller;
use wire::mcp::ServerName;

use super::{Client, lane::Answered};
use crate::{
    LinkError,
    credentials::{Credentials, Errand, Next},
};

/// How often one request is sent at most: a first time, with what the challenge asked for, and with its nonce.
const TRIES_MAX: u32 = 4;

/// See the module.
#[derive(Clone)]
pub(crate) struct Door {
    client: Client,
    server: ServerName,
    caller: Option<Caller>,
    /// None where configuration says nothing is to be proven but by fixed headers.
    credentials: Option<Arc<dyn Credentials>>,
}

impl Door {
    pub(crate) fn new(
        client: Client,
        server: ServerName,
        caller: Option<Caller>,
        credentials: Option<Arc<dyn Credentials>>,
    ) -> Self {
        Self {
            client,
            server,
            caller,
            credentials,
        }
    }

    /// For whom it is.
    pub(crate) const fn caller(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }

    /// Sends a request, proven.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Answered>, LinkError> {
        match &self.credentials {
            None => self.client.send(request).await,
            // In a box: proving takes room that other calls need not have.
            Some(credentials) => Box::pin(self.send_proven(credentials.as_ref(), request)).await,
        }
    }

    async fn send_proven(
        &self,
        credentials: &dyn Credentials,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Answered>, LinkError> {
        let (method, url) = (request.method().clone(), request.uri().clone());
        let errand = Errand {
            server: &self.server,
            caller: self.caller.as_ref(),
            method: &method,
            url: &url,
        };
        let mut tries = 0;
        loop {
            tries += 1;
            let proof = credentials.headers(errand).await?;
            let mut proven = request.clone();
            for (name, value) in &proof {
                proven.headers_mut().insert(name, value.clone());
            }
            let response = self.client.send(proven).await?;
            let next = credentials.answered(errand, &proof, response.status(), response.headers());
            if next.await? == Next::Take || tries == TRIES_MAX {
                return Ok(response);
            }
        }
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Door({})", self.server)
    }
}
