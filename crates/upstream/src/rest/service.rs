//! A service as the far end of a link: it is told what MCP servers are told, in the revision without sessions, and
//! answers like one.

use std::sync::{Arc, Mutex, PoisonError};

use hyper::HeaderMap;
use pipeline::ports::Exchange;
use wire::{
    bounds::ANSWER,
    json::{Keys, Node, Writer, object},
    jsonrpc::{self, Message, Request},
    mcp::{Method, Revision, code},
};

use super::{
    Description,
    answer::{self, Secrets},
    operation::Operation,
    route::Base,
};
use crate::{
    LinkError, RestTarget,
    http::{Door, configured},
    inbox::Inbox,
    link::Head,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Service {
    door: Door,
    base: Base,
    headers: HeaderMap,
    secrets: Secrets,
    description: Arc<Description>,
    over: Mutex<Option<String>>,
}

impl Service {
    pub(crate) fn new(door: Door, target: &RestTarget) -> Result<Arc<Self>, LinkError> {
        let what =
            "its URL has a query, or a path that readers take differently; write where all its paths begin";
        let base = Base::new(&target.http.url);
        let headers = configured(&target.http)?;
        Ok(Arc::new(Self {
            secrets: Secrets::of(&headers, |name| {
                let is_kept = || {
                    target
                        .secrets
                        .iter()
                        .any(|secret| secret.eq_ignore_ascii_case(name))
                };
                target.description.is_proof(name) || is_kept()
            }),
            headers,
            door,
            base: base.ok_or_else(|| LinkError::Unreachable(what.to_owned()))?,
            description: Arc::clone(&target.description),
            over: Mutex::default(),
        }))
    }

    /// Why it is over, if it is.
    pub(crate) fn closed(&self) -> Option<String> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn close(&self, why: &str) {
        let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        over.get_or_insert_with(|| why.to_owned());
    }

    /// Whether it is not known what became of a call without an answer: it may have changed something.
    pub(crate) fn may_have_changed(&self, head: &Head) -> bool {
        let called = head
            .name
            .as_deref()
            .filter(|_| head.method == Method::ToolsCall.name());
        let operation = called.and_then(|name| self.description.operation(name));
        operation.is_some_and(|operation| operation.method != hyper::Method::GET)
    }

    /// Takes a message. The answer to a request reaches whoever waits for it through the inbox.
    pub(crate) async fn take(
        &self,
        inbox: &Arc<Inbox>,
        head: &Head,
        body: Vec<u8>,
        exchange: Option<&Arc<dyn Exchange>>,
    ) -> Result<(), LinkError> {
        let ours = |_| LinkError::Garbled("we wrote what is no message".to_owned());
        let Message::Request(request) = Message::parse(body, Keys::Exact, &ANSWER).map_err(ours)? else {
            // Nothing that is told and not asked means anything to a service.
            return Ok(());
        };
        let answer = self.answer(&request, head).await?;
        if answer.len() > ANSWER.text_bytes_max {
            return Err(LinkError::Garbled("an answer longer than the limit".to_owned()));
        }
        inbox.take(answer, exchange).await;
        Ok(())
    }

    async fn answer(&self, request: &Request, head: &Head) -> Result<Vec<u8>, LinkError> {
        let (id, method) = (request.id(), request.method());
        let result = if method == Method::ServerDiscover {
            self.discovered()
        } else if method == Method::ToolsList {
            self.tools()
        } else if method == Method::Ping {
            b"{}".to_vec()
        } else if method == Method::ToolsCall {
            let params = request.params();
            let name = params
                .and_then(|params| params.get("name"))
                .and_then(Node::as_str);
            let operation = name.and_then(|name| self.description.operation(&name));
            let Some(operation) = operation else {
                let what = "the description has no such operation";
                return Ok(jsonrpc::error(Some(id), code::INVALID_PARAMS, what, None));
            };
            self.call(operation, params.and_then(|params| params.get("arguments")), head)
                .await?
        } else {
            let what = "a REST service has tools alone";
            return Ok(jsonrpc::error(Some(id), code::METHOD_NOT_FOUND, what, None));
        };
        Ok(jsonrpc::result(id, &result))
    }

    fn discovered(&self) -> Vec<u8> {
        let (title, version) = self.description.identity();
        object(|out| {
            out.string("resultType", "complete");
            out.array("supportedVersions", |list| {
                list.string(Revision::V2026_07_28.as_str())
            });
            out.object("capabilities", |out| out.object("tools", |_| {}));
            out.object("_meta", |out| {
                out.object(wire::mcp::meta::SERVER_INFO, |out| {
                    out.string("name", title);
                    out.string("version", version);
                });
            });
        })
    }

    fn tools(&self) -> Vec<u8> {
        let mut tools = Writer::default();
        tools.array(|list| {
            let operations = self.description.operations();
            operations.for_each(|operation| list.json(&operation.definition));
        });
        let tools = tools.into_bytes();
        object(|out| {
            out.string("resultType", "complete");
            out.json("tools", &tools);
        })
    }

    /// Makes the request of a call, once. Whatever becomes of it, it is not made a second time here.
    async fn call(
        &self,
        operation: &Operation,
        arguments: Option<Node<'_>>,
        head: &Head,
    ) -> Result<Vec<u8>, LinkError> {
        let request = match operation.request(&self.base, &self.headers, arguments) {
            Ok(request) => request,
            Err(why) => return Ok(answer::unsent(&why)),
        };
        let changes = operation.method != hyper::Method::GET;
        let doubted = |error| match error {
            LinkError::Closed(why) | LinkError::Lost(why) if changes => LinkError::Doubtful(why),
            LinkError::Absent(_)
            | LinkError::Closed(_)
            | LinkError::Consent(_)
            | LinkError::Crashing(_)
            | LinkError::Doubtful(_)
            | LinkError::Garbled(_)
            | LinkError::Lost(_)
            | LinkError::Timeout(_)
            | LinkError::Unauthorized(_)
            | LinkError::Unreachable(_)
            | LinkError::Withdrawn => error,
        };
        let response = self.door.send(request).await.map_err(doubted)?;
        head.came_over(response.extensions().get());
        answer::read(response, &self.secrets).await.map_err(doubted)
    }
}
