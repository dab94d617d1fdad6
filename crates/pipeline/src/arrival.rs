//! What a listener or an upstream link hands in.

use std::{collections::BTreeSet, fmt, sync::Arc};

use identity::{LocalPeer, Principal, Secret, signature, svid::Svid};
use wire::{
    json::{Document, Kind, Node},
    jsonrpc::Message,
    mcp::{Direction, Revision, ServerName},
};

use crate::ports::Exchange;

/// The name of one message's passage; all its entries in the ledger have it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct CallId(pub Arc<str>);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the sender shows to say who it is. Nothing of it is believed yet.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A bearer token.
    Bearer(Secret),
    /// A token and a proof, for this very request, that the sender has its key (RFC 9449).
    Possessed(Arc<Possession>),
    /// A request that is signed itself (RFC 9421), with a token or without.
    Signed(Arc<SignedRequest>),
    /// What a request has proven that opened a connection or a stream, or brought this message, by its signature or with
    /// its key: it counts for that, and nothing proves twice. With the token it came with, which has to be believed still.
    Standing(Arc<Principal>, Option<Secret>),
    /// No credential but the certificate of the connection, which proves a workload.
    Workload(Arc<Svid>),
    /// The upstream link the message came over, which the supervisor knows to be this server's.
    Link(ServerName),
    /// No credential, from somewhere on this machine.
    Local(LocalPeer),
    /// No credential.
    None,
}

impl Credential {
    /// What goes on to count once a request has proven who it is from: neither a signature nor a proof of possession
    /// proves twice, and what it proved stands for what that request opened, or began.
    #[must_use]
    pub fn standing(self, principal: &Arc<Principal>) -> Self {
        match self {
            Self::Possessed(shown) => Self::Standing(Arc::clone(principal), Some(shown.token.clone())),
            Self::Signed(shown) => Self::Standing(Arc::clone(principal), shown.token.clone()),
            Self::Bearer(_)
            | Self::Link(_)
            | Self::Local(_)
            | Self::None
            | Self::Standing(..)
            | Self::Workload(_) => self,
        }
    }
}

/// A request with a signature of its own, and the token it comes with, if it does.
#[derive(Clone, Debug)]
pub struct SignedRequest {
    /// The token.
    pub token: Option<Secret>,
    /// What was signed, and the signature.
    pub message: signature::Message,
}

/// A token, the proof shown with it, and the request that the proof has to be for.
#[derive(Clone, Debug)]
pub struct Possession {
    /// The token.
    pub token: Secret,
    /// The proof.
    pub proof: String,
    /// The method of the request.
    pub method: String,
    /// Its URL, as the gateway is called by.
    pub url: String,
}

/// Which door the message came to.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Endpoint {
    /// `/mcp`: all servers, under federated names.
    All,
    /// `/mcp/{group}`: some servers, under federated names.
    Group(Arc<Group>),
    /// `/mcp/{server}`: one server, under its own names.
    Server(ServerName),
}

/// Servers that are shown together.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Group {
    /// Its name, which no server has.
    pub name: ServerName,
    /// Its servers.
    pub servers: BTreeSet<ServerName>,
}

impl Endpoint {
    /// What stands behind `/mcp/`, if anything does.
    #[must_use]
    pub fn name(&self) -> Option<&ServerName> {
        match self {
            Self::All => None,
            Self::Group(group) => Some(&group.name),
            Self::Server(name) => Some(name),
        }
    }

    /// The one server behind it, if it is one server's.
    #[must_use]
    pub fn single(&self) -> Option<&ServerName> {
        match self {
            Self::All | Self::Group(_) => None,
            Self::Server(name) => Some(name),
        }
    }

    /// Whether a server is behind it.
    #[must_use]
    pub fn leads_to(&self, server: &ServerName) -> bool {
        match self {
            Self::All => true,
            Self::Group(group) => group.servers.contains(server),
            Self::Server(name) => name == server,
        }
    }
}

/// How the message travelled.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Via {
    /// `http`, `stdio`, ...
    pub transport: &'static str,
    /// The peer's address, where there is one.
    pub peer: Option<String>,
    /// The TLS connection, where there is one.
    pub tls: Option<Tls>,
    /// Headers that claim to mirror arguments: names in lower case, values as sent. Nothing is decided on
    /// them; they must agree with the message (2026-07-28).
    pub mirrored: Arc<[(String, String)]>,
}

/// The TLS connection a message came over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tls {
    /// Such as `TLSv1.3`.
    pub version: &'static str,
    /// The group of the key exchange, such as `X25519MLKEM768`.
    pub group: &'static str,
    /// SHA-256 of the other side's certificate as in `x5t#S256` (RFC 8705), where it showed one.
    pub certificate: Option<Arc<str>>,
    /// The workload that certificate proves, where it is of a trust domain that is believed.
    pub workload: Option<Arc<Svid>>,
}

/// What the client declared it can do: per request in the modern era, at `initialize` before.
#[derive(Clone, Debug, Default)]
pub struct Capabilities(Option<Arc<Document>>);

impl Capabilities {
    /// The declared object, kept whole.
    #[must_use]
    pub fn declared(object: Node<'_>) -> Self {
        let (start, end) = object.span();
        let text = object
            .document()
            .text()
            .get(start..end)
            .unwrap_or_default()
            .as_bytes()
            .to_vec();
        let keys = wire::json::Keys::Exact;
        Self(
            Document::parse(text, keys, &wire::bounds::REQUEST)
                .ok()
                .map(Arc::new),
        )
    }

    /// The value at a path of member names, such as `["elicitation", "url"]`.
    #[must_use]
    pub fn at(&self, path: &[&str]) -> Option<Node<'_>> {
        let root = self.0.as_ref()?.root();
        path.iter()
            .try_fold(root, |node, name| node.get(name))
            .filter(|node| node.kind() != Kind::Null)
    }

    /// The whole object, if anything was declared.
    #[must_use]
    pub fn document(&self) -> Option<&Arc<Document>> {
        self.0.as_ref()
    }
}

/// One message and all that is known of where it came from.
#[derive(Debug)]
pub struct Arrival {
    /// The name of its passage.
    pub call: CallId,
    /// Which way it goes.
    pub direction: Direction,
    /// The revision its sender speaks.
    pub revision: Revision,
    /// The door it came to.
    pub endpoint: Endpoint,
    /// The message.
    pub message: Message,
    /// What the sender shows.
    pub credential: Credential,
    /// How it travelled.
    pub via: Via,
    /// The session it names (legacy era): a name, never a credential.
    pub session: Option<Arc<str>>,
    /// What the client can do.
    pub capabilities: Capabilities,
    /// The client's side while the message is on its way.
    pub exchange: Arc<dyn Exchange>,
    /// When it arrived, in milliseconds since 1970.
    pub received_ms: i64,
}
