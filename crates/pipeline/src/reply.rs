//! What a name leads to, and what comes back.

use std::sync::Arc;

use policy::{
    Resource, ToolFacts,
    registry::{Pin, Pinned, PinnedServer},
};
use wire::{
    json::Edits,
    jsonrpc::Response,
    mcp::{Era, ServerName},
};

use crate::CallId;

/// What a message is for, resolved once: what policy judges is what is reached.
#[derive(Clone, Debug)]
pub enum Resolution {
    /// The client on the other end of a link's session (server to client).
    Client {
        /// The server that speaks.
        server: PinnedServer,
    },
    /// The gateway itself answers.
    Gateway,
    /// A configured model. Models do not change while the gateway runs, so its name is all of it.
    Model {
        /// What rules judge, and what is asked.
        resource: Arc<Resource>,
    },
    /// One server: its resources, completions, subscriptions, tasks.
    Server {
        /// The server.
        server: PinnedServer,
        /// What is asked of it.
        resource: Arc<Resource>,
        /// The prompt a completion is for, if any.
        prompt: Option<Pinned>,
    },
    /// One approved tool or prompt.
    Item {
        /// Its server.
        server: PinnedServer,
        /// The tool or prompt.
        item: Pinned,
    },
}

/// Who answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Destination {
    /// The client.
    Client,
    /// The gateway.
    Gateway,
    /// A model's provider.
    Model,
    /// An upstream server.
    Upstream,
}

impl Resolution {
    /// Who answers.
    #[must_use]
    pub fn destination(&self) -> Destination {
        match self {
            Self::Client { .. } => Destination::Client,
            Self::Gateway => Destination::Gateway,
            Self::Model { .. } => Destination::Model,
            Self::Item { .. } | Self::Server { .. } => Destination::Upstream,
        }
    }

    /// The server concerned, if one is.
    #[must_use]
    pub fn server(&self) -> Option<&PinnedServer> {
        match self {
            Self::Client { server } | Self::Item { server, .. } | Self::Server { server, .. } => Some(server),
            Self::Gateway | Self::Model { .. } => None,
        }
    }

    /// What rules know of the model, if it is one.
    #[must_use]
    pub fn model(&self) -> Option<&ToolFacts> {
        match self {
            Self::Model { resource } => resource.facts(),
            Self::Client { .. } | Self::Gateway | Self::Item { .. } | Self::Server { .. } => None,
        }
    }

    /// The name of the server concerned, if one is.
    #[must_use]
    pub fn server_name(&self) -> Option<&ServerName> {
        self.server().map(|server| &server.server().name)
    }

    /// The tool or prompt, if it is one.
    #[must_use]
    pub fn item(&self) -> Option<&Pinned> {
        match self {
            Self::Item { item, .. } => Some(item),
            Self::Server { prompt, .. } => prompt.as_ref(),
            Self::Client { .. } | Self::Gateway | Self::Model { .. } => None,
        }
    }

    /// The pin of the tool or prompt, if it is one.
    #[must_use]
    pub fn pin(&self) -> Option<Pin> {
        self.item().map(Pinned::pin)
    }

    /// What rules judge.
    #[must_use]
    pub fn resource(&self) -> &Resource {
        match self {
            Self::Client { server } => server.resource(),
            Self::Gateway => &Resource::Gateway,
            Self::Item { item, .. } => item.resource(),
            Self::Model { resource } | Self::Server { resource, .. } => resource,
        }
    }
}

/// An answer nobody has read yet.
#[derive(Debug)]
pub enum Answer {
    /// A notification was taken.
    Accepted,
    /// The other side's answer, with the era of the revision it is written in.
    Foreign(Arc<Response>, Era),
    /// A list of things, to be trimmed to what the caller may know of.
    Listing(Listing),
    /// The gateway's own result: a JSON object without anything of anybody else in it.
    Own(Arc<Own>),
}

/// The gateway's own result.
#[derive(Debug, Default)]
pub struct Own {
    /// The result object.
    pub result: Vec<u8>,
    /// A session that was opened with it (legacy era).
    pub session: Option<Arc<str>>,
    /// It asks the client for input before there is an answer (modern era). Each question in it has taken the
    /// road itself.
    pub asks: bool,
}

/// A list of the gateway's own making.
#[derive(Debug)]
pub struct Listing {
    /// The member of the result that holds it: `tools`, `prompts`.
    pub member: &'static str,
    /// Its entries, in the order to be shown.
    pub entries: Vec<Entry>,
    /// Whether somebody approved what they say. What nobody did, servers change as they like.
    pub is_pinned: bool,
}

/// One entry of a list.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What rules judge.
    pub resource: Arc<Resource>,
    /// The definition as shown at this endpoint.
    pub shown: Arc<[u8]>,
}

/// What goes back to the sender.
#[derive(Debug)]
pub struct Reply {
    /// The call it ends.
    pub call: CallId,
    /// What it says.
    pub body: Body,
}

/// What a reply says.
#[derive(Debug)]
pub enum Body {
    /// Nothing: a notification was taken.
    Accepted,
    /// The other side's answer, with what had to be changed in it, and the era it is written in.
    Foreign(Arc<Response>, Edits, Era),
    /// A list, trimmed: a result object.
    Listed(Vec<u8>),
    /// The gateway's own result.
    Own(Arc<Own>),
}
