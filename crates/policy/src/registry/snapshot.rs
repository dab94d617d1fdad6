//! The registry as calls see it: immutable, and it gives out nothing that is not approved.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use wire::mcp::{ServerName, split_federated};

use super::{Definition, Item, ItemKind, ItemState, Manifest, Pin, Server, ServerState};
use crate::{
    resource::{Resource, Sink, ToolFacts, Trust},
    rules::ArgumentType,
};

/// All servers at one moment.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    servers: BTreeMap<ServerName, Arc<Server>>,
    approved: BTreeMap<(ServerName, ItemKind, String), Pinned>,
}

/// A tool or prompt that was approved and has not changed.
///
/// INVARIANT (pinned): made by [`Registry::new`] alone and only from approved items of approved servers,
/// so whoever holds one need not ask for its state.
#[derive(Clone, Debug)]
pub struct Pinned {
    server: ServerName,
    definition: Arc<Definition>,
    resource: Arc<Resource>,
}

/// A server that is approved and would start what was approved.
#[derive(Clone, Debug)]
pub struct PinnedServer {
    server: Arc<Server>,
    resource: Arc<Resource>,
}

/// Why a name leads nowhere.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unresolved {
    /// Several things could be meant.
    Ambiguous,
    /// It is there, but held back: changed since approval, or waiting for it.
    Held,
    /// There is nothing of that name.
    Unknown,
}

impl Registry {
    /// The registry of these servers.
    #[must_use]
    pub fn new(servers: impl IntoIterator<Item = Server>) -> Self {
        let servers: BTreeMap<_, _> = servers
            .into_iter()
            .map(|server| (server.name.clone(), Arc::new(server)))
            .collect();
        let mut approved = BTreeMap::new();
        for server in servers.values().filter(|server| server.may_start()) {
            for ((kind, name), item) in &server.items {
                if let Some(pinned) = Pinned::of(server, *kind, item) {
                    approved.insert((server.name.clone(), *kind, name.clone()), pinned);
                }
            }
        }
        Self { servers, approved }
    }

    /// All servers, whatever their state, by name.
    pub fn servers(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.servers.values()
    }

    /// One server, whatever its state.
    #[must_use]
    pub fn server(&self, name: &ServerName) -> Option<&Arc<Server>> {
        self.servers.get(name)
    }

    /// A server that may be reached.
    ///
    /// # Errors
    /// When it is unknown or held back.
    pub fn pinned_server(&self, name: &ServerName) -> Result<PinnedServer, Unresolved> {
        let server = self.servers.get(name).ok_or(Unresolved::Unknown)?;
        if !server.may_start() {
            return Err(if server.state == ServerState::Retired {
                Unresolved::Unknown
            } else {
                Unresolved::Held
            });
        }
        let facts = facts(&server.manifest, &server.name, "");
        Ok(PinnedServer {
            server: Arc::clone(server),
            resource: Arc::new(Resource::Server(facts)),
        })
    }

    /// A tool or prompt of one server, by its own name.
    ///
    /// # Errors
    /// When it is unknown or held back.
    pub fn item(&self, server: &ServerName, kind: ItemKind, name: &str) -> Result<Pinned, Unresolved> {
        if let Some(pinned) = self.approved.get(&(server.clone(), kind, name.to_owned())) {
            return Ok(pinned.clone());
        }
        let known = self
            .servers
            .get(server)
            .filter(|server| server.state != ServerState::Retired);
        let item = known.and_then(|server| server.items.get(&(kind, name.to_owned())));
        Err(if item.is_some() {
            Unresolved::Held
        } else {
            Unresolved::Unknown
        })
    }

    /// A tool or prompt by the name it has next to others: `server__name`, or where that is unambiguous
    /// `server.name`, `server:name`, `server_name`. Where only some servers are shown, others are unknown.
    ///
    /// # Errors
    /// When it is unknown, held back, or could be several.
    pub fn federated(
        &self,
        kind: ItemKind,
        name: &str,
        among: Option<&BTreeSet<ServerName>>,
    ) -> Result<Pinned, Unresolved> {
        let is_shown = |server: &ServerName| among.is_none_or(|among| among.contains(server));
        if let Some((server, item)) = split_federated(name) {
            return if is_shown(&server) {
                self.item(&server, kind, item)
            } else {
                Err(Unresolved::Unknown)
            };
        }
        let mut found = Err(Unresolved::Unknown);
        for server in self.servers.keys().filter(|server| is_shown(server)) {
            let rest = name.strip_prefix(server.as_str());
            let Some(item) = rest.and_then(|rest| rest.strip_prefix(['.', ':', '_'])) else {
                continue;
            };
            match (self.item(server, kind, item), &found) {
                (Err(Unresolved::Unknown), _) => {}
                (_, Ok(_) | Err(Unresolved::Held | Unresolved::Ambiguous)) => {
                    return Err(Unresolved::Ambiguous);
                }
                (result, Err(Unresolved::Unknown)) => found = result,
            }
        }
        found
    }

    /// Everything approved of one kind, on one server or on all, in the order of names.
    pub fn approved(&self, kind: ItemKind, of: Option<&ServerName>) -> impl Iterator<Item = &Pinned> {
        self.approved
            .iter()
            .filter(move |((server, of_kind, _), _)| *of_kind == kind && of.is_none_or(|of| of == server))
            .map(|(_, pinned)| pinned)
    }
}

impl Pinned {
    fn of(server: &Server, kind: ItemKind, item: &Item) -> Option<Self> {
        let definition = item
            .approved
            .as_ref()
            .filter(|_| item.state == ItemState::Approved)?;
        let resource = server.resource(kind, definition.name());
        Some(Self {
            server: server.name.clone(),
            definition: Arc::new(definition.clone()),
            resource: Arc::new(resource),
        })
    }

    /// The server it belongs to.
    #[must_use]
    pub fn server(&self) -> &ServerName {
        &self.server
    }

    /// The name the server calls it by.
    #[must_use]
    pub fn name(&self) -> &str {
        self.definition.name()
    }

    /// The approved definition.
    #[must_use]
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// Its pin.
    #[must_use]
    pub fn pin(&self) -> Pin {
        self.definition.pin()
    }

    /// What rules know of it.
    #[must_use]
    pub fn resource(&self) -> &Arc<Resource> {
        &self.resource
    }
}

impl Server {
    /// What rules would know of a tool or prompt of this server, whatever its state.
    #[must_use]
    pub fn resource(&self, kind: ItemKind, name: &str) -> Resource {
        let mut facts = facts(&self.manifest, &self.name, name);
        match kind {
            ItemKind::Instructions => Resource::Server(facts),
            ItemKind::Prompt => Resource::Prompt(facts),
            ItemKind::Tool => {
                let item = self.items.get(&(kind, name.to_owned()));
                let definition = item.and_then(|item| item.approved.as_ref().or(item.offered.as_ref()));
                facts.arguments = definition.map(|definition| Arc::new(self.arguments(definition)));
                Resource::Tool(facts)
            }
        }
    }

    /// What a tool's arguments are: what its schema says, and what the operator says of them.
    #[must_use]
    pub fn arguments(&self, definition: &Definition) -> ArgumentType {
        let schema = definition.document().root().get("inputSchema");
        let mut arguments = schema.map_or(ArgumentType::Any, ArgumentType::of_schema);
        for (names, holds) in self.manifest.tool(definition.name()).arguments {
            arguments.say(&names, holds);
        }
        arguments
    }
}

impl PinnedServer {
    /// The server.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// What rules know of it.
    #[must_use]
    pub fn resource(&self) -> &Arc<Resource> {
        &self.resource
    }

    /// What rules know of one of its resources, of which the server knows the URI.
    #[must_use]
    pub fn resource_at(&self, uri: &str) -> Resource {
        let mut facts = facts(&self.server.manifest, &self.server.name, uri);
        facts.sink = Sink::Read;
        Resource::Resource {
            uri: uri.to_owned(),
            facts,
        }
    }

    /// What rules know of a resource under a URI that the caller made up, as from a template: the server is told what the
    /// caller wrote into it. What that can do is the operator's word. Without one a trusted server only reads, and of
    /// another nobody has said.
    #[must_use]
    pub fn resource_made(&self, uri: &str) -> Resource {
        let manifest = &self.server.manifest;
        let mut facts = facts(manifest, &self.server.name, uri);
        if manifest.trust == Trust::Trusted && manifest.tool(uri).sink.is_none() {
            facts.sink = Sink::Read;
        }
        Resource::Resource {
            uri: uri.to_owned(),
            facts,
        }
    }
}

fn facts(manifest: &Manifest, server: &ServerName, item: &str) -> ToolFacts {
    let tool = manifest.tool(item);
    ToolFacts {
        server: server.as_str().to_owned(),
        name: item.to_owned(),
        sink: tool.sink.unwrap_or_default(),
        trust: manifest.trust,
        labels: tool.labels.unwrap_or_else(|| manifest.labels.clone()),
        tenant: manifest.tenant.clone(),
        cost: tool.cost.unwrap_or(1),
        arguments: None,
    }
}
