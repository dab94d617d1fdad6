//! What a host sends that is no message, and what a server says that read none.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Method;
use wire::{
    bounds::ANSWER,
    json::{Document, Edits, Keys, Kind, Node, object},
    jsonrpc::{self, MessageError, Refused},
};

use super::bridge::{Bridge, Sending};
use crate::outside::{fetch::Fetch, oauth::discovery::shown};

impl Bridge {
    /// Lets the server say what is wrong with what is no message. The host gets an answer in any case, for it may wait
    /// for one: what the server says of it, or else what we do.
    pub(super) async fn show_unread(self: Arc<Self>, line: Vec<u8>, refused: &Refused) {
        let sending = Sending {
            method: Method::POST,
            line: Bytes::from(line),
            message: None,
            accept: "application/json, text/event-stream",
        };
        let said = match self.send(&sending).await {
            // One revision has batches: they are no message to us, and may be some to the server.
            Ok(response) if response.status().is_success() => self.read(response).await.map(|()| None),
            Ok(response) => Fetch::whole(response).await.map(Some),
            Err(failure) => Err(failure),
        };
        let answer = match said {
            Ok(None) => return,
            Ok(Some(body)) => error_of(body),
            Err(failure) => {
                self.complain(&failure.to_string());
                None
            }
        };
        // A notification that nobody knows wants no answer.
        let is_note = refused.id.is_none() && matches!(refused.error, MessageError::UnknownMethod(_));
        if !is_note {
            let own = || {
                jsonrpc::error(
                    refused.id.as_ref(),
                    refused.error.code(),
                    &refused.to_string(),
                    None,
                )
            };
            self.say(answer.unwrap_or_else(own)).await;
        }
    }
}

/// An answer that says what is wrong, on one line.
fn error_of(body: Vec<u8>) -> Option<Vec<u8>> {
    let document = Document::parse(body, Keys::Exact, &ANSWER).ok()?;
    let root = document.root();
    root.get("error").filter(|error| error.kind() == Kind::Object)?;
    Some(object(|out| out.members_except(root, &[], &Edits::default())))
}

/// Why a server that did not read a request refused it.
pub(super) fn refused_unread(answer: &[u8]) -> Option<String> {
    let document = Document::parse(answer.to_vec(), Keys::Exact, &ANSWER).ok()?;
    let error = document.root().get("error")?;
    if document.root().get("id").is_some_and(|id| !id.is_null()) {
        return None;
    }
    let why = error.get("message").and_then(Node::as_str).unwrap_or_default();
    Some(shown(&why))
}
