//! The first words with a server: which revision it speaks and what it can do.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use pipeline::{Capabilities, registry::Definition};
use wire::{
    json::{Document, Keys, Node},
    jsonrpc::{self, Answer, Id, Response},
    mcp::{Era, Method, Revision, code},
};

use crate::{
    LinkError,
    encode::{self, Tasks},
    inbox::Inbox,
    link::{Asking, Head, Side, Wire},
    listing::Offered,
};

/// Opens a session (legacy era).
pub(crate) async fn initialize(
    wire: &Wire,
    inbox: &Arc<Inbox>,
    (client, extensions): (&Capabilities, &BTreeSet<String>),
    wait: Duration,
) -> Result<Offered, LinkError> {
    let body = |id| {
        jsonrpc::request(&Id::Integer(id), Method::Initialize, |params| {
            params.string("protocolVersion", Revision::LATEST_LEGACY.as_str());
            params.object("capabilities", |out| {
                encode::write_capabilities(client, Tasks::Unknown, extensions, out);
            });
            params.object("clientInfo", encode::write_identity);
        })
    };
    let head = Head::of(Method::Initialize.name());
    let asking = Asking {
        wire,
        inbox,
        era: Era::Legacy,
        wait,
    };
    let answer = asking.ask(head, body, Side::default()).await?;
    let offered = read_initialize(&answer)?;
    inbox.agree(offered.revision);
    if let Wire::Http(endpoint) = wire {
        endpoint.agree(offered.revision);
    }
    let done = jsonrpc::notification(Method::NotificationsInitialized, |_| {});
    let head = Head::of(Method::NotificationsInitialized.name());
    match wire {
        Wire::Http(endpoint) => drop(endpoint.post(inbox, head, done, None).await?),
        Wire::Pipe(pipe) => pipe.send(done).await?,
        // It has no sessions.
        Wire::Rest(_) => {}
    }
    Ok(offered)
}

/// Asks what a server of the modern era offers.
pub(crate) async fn discover(wire: &Wire, inbox: &Arc<Inbox>, wait: Duration) -> Result<Offered, LinkError> {
    let revision = Revision::V2026_07_28;
    if let Wire::Http(endpoint) = wire {
        endpoint.agree(revision);
    }
    let body = |id| {
        jsonrpc::request(&Id::Integer(id), Method::ServerDiscover, |params| {
            encode::own_meta(revision, params)
        })
    };
    let head = Head::of(Method::ServerDiscover.name());
    let ask = || Asking {
        wire,
        inbox,
        era: Era::Modern,
        wait,
    };
    let mut answer = ask().ask(head.clone(), body, Side::default()).await?;
    // A server that will not have this revision and names it all the same is asked once more.
    if names(&answer, revision) {
        answer = ask().ask(head, body, Side::default()).await?;
    }
    let result = result(&answer)?;
    let versions = result
        .get("supportedVersions")
        .into_iter()
        .flat_map(Node::elements);
    if !versions
        .into_iter()
        .any(|version| version.is_str(revision.as_str()))
    {
        return Err(LinkError::Absent("revision 2026-07-28"));
    }
    inbox.agree(revision);
    let identity = result
        .get("_meta")
        .and_then(|m| m.get(wire::mcp::meta::SERVER_INFO));
    offered(revision, result, identity.or_else(|| result.get("serverInfo")))
}

/// Whether a server refuses a revision and offers it.
fn names(answer: &Response, revision: Revision) -> bool {
    let Answer::Error(error) = answer.answer() else {
        return false;
    };
    let code = error.get("code").and_then(Node::as_number);
    let supported = error.get("data").and_then(|data| data.get("supported"));
    let mut supported = supported.into_iter().flat_map(Node::elements);
    code.and_then(|code| code.as_i64()) == Some(code::UNSUPPORTED_PROTOCOL_VERSION)
        && supported.any(|version| version.is_str(revision.as_str()))
}

/// Has a server of the modern era say when its lists change: to the gateway itself, which looks and tells.
pub(crate) fn subscription(id: i64, offered: &Offered) -> Vec<u8> {
    jsonrpc::request(&Id::Integer(id), Method::SubscriptionsListen, |params| {
        params.object("notifications", |out| {
            for (capability, wanted) in [
                ("prompts", "promptsListChanged"),
                ("resources", "resourcesListChanged"),
                ("tools", "toolsListChanged"),
            ] {
                if offered.has(capability) {
                    out.boolean(wanted, true);
                }
            }
        });
        encode::own_meta(offered.revision, params);
    })
}

fn read_initialize(answer: &Response) -> Result<Offered, LinkError> {
    let result = result(answer)?;
    let version = result
        .get("protocolVersion")
        .and_then(Node::as_str)
        .unwrap_or_default();
    let revision = Revision::parse(&version).filter(|revision| revision.era() == Era::Legacy);
    let Some(revision) = revision else {
        let version: String = version.chars().take(40).flat_map(char::escape_default).collect();
        return Err(LinkError::Garbled(format!(
            "it speaks protocol version `{version}`, which is not known here"
        )));
    };
    offered(revision, result, result.get("serverInfo"))
}

fn result(answer: &Response) -> Result<Node<'_>, LinkError> {
    match answer.answer() {
        Answer::Result(result) => Ok(result),
        Answer::Error(error) => {
            let message = error.get("message").and_then(Node::as_str).unwrap_or_default();
            let message: String = message.chars().take(200).flat_map(char::escape_debug).collect();
            Err(LinkError::Unreachable(format!(
                "it refused the handshake: {message}"
            )))
        }
    }
}

fn offered(revision: Revision, result: Node<'_>, identity: Option<Node<'_>>) -> Result<Offered, LinkError> {
    let capabilities = result
        .get("capabilities")
        .map_or("{}", Node::written)
        .as_bytes()
        .to_vec();
    let capabilities = Document::parse(capabilities, Keys::Exact, &wire::bounds::ANSWER)
        .map_err(|error| LinkError::Garbled(error.to_string()))?;
    let instructions = result
        .get("instructions")
        .and_then(Node::as_str)
        .map(std::borrow::Cow::into_owned);
    Ok(Offered {
        revision,
        capabilities: Arc::new(capabilities),
        identity: identity.and_then(|identity| Definition::offered(identity).ok()),
        instructions,
    })
}
