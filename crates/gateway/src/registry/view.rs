//! The registry as calls see it, with everything that is worked out once per change and not once per call.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use inspect::schema::CompiledSchema;
use pipeline::{Endpoint, Entry};
use policy::{
    Resource, Trust,
    registry::{ItemKind, Pin, Pinned, PinnedServer, Registry},
};
use upstream::Catalogue;
use wire::{
    json::{Document, Edits, Node, object},
    mcp::{ServerName, federated, meta},
};

/// See the module. Immutable; a change is a new view.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) registry: Registry,
    /// Entries under federated names, by kind, in the order of servers and names.
    all: BTreeMap<ItemKind, Vec<(ServerName, Entry)>>,
    /// Entries under their own names, by server and kind.
    own: HashMap<(ServerName, ItemKind), Vec<Entry>>,
    /// What servers said of themselves and their resources when last seen.
    pub(crate) catalogues: BTreeMap<ServerName, Arc<Catalogue>>,
    /// Schemas of approved tools.
    pub(crate) schemas: HashMap<Pin, Arc<Schemas>>,
}

/// The schemas of one tool.
#[derive(Debug)]
pub(crate) struct Schemas {
    /// Of its arguments.
    pub(crate) input: CompiledSchema,
    /// Of its structured result, if it has one.
    pub(crate) output: Option<CompiledSchema>,
}

/// Why a name leads nowhere.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NoOwner {
    /// Several servers could be meant.
    Several,
    /// No server has it.
    Unknown,
}

impl View {
    /// The view of a registry.
    pub(crate) fn new(
        registry: Registry,
        catalogues: BTreeMap<ServerName, Arc<Catalogue>>,
        schemas: HashMap<Pin, Arc<Schemas>>,
    ) -> Self {
        let mut view = Self {
            catalogues,
            schemas,
            ..Self::default()
        };
        for kind in [ItemKind::Tool, ItemKind::Prompt] {
            for pinned in registry.approved(kind, None) {
                let shared = federated(pinned.server(), pinned.name());
                let server = pinned.server().clone();
                let all = view.all.entry(kind).or_default();
                all.push((server, entry(pinned, &shared)));
                let own = view.own.entry((pinned.server().clone(), kind)).or_default();
                own.push(entry(pinned, pinned.name()));
            }
        }
        view.registry = registry;
        view
    }

    /// The entries to be shown at an endpoint, before policy trims them.
    pub(crate) fn entries(&self, kind: ItemKind, at: &Endpoint) -> Vec<Entry> {
        if let Some(server) = at.single() {
            let own = self.own.get(&(server.clone(), kind));
            return own.cloned().unwrap_or_default();
        }
        let all = self.all.get(&kind).map(Vec::as_slice).unwrap_or_default();
        let shown = all.iter().filter(|(server, _)| at.leads_to(server));
        shown.map(|(_, entry)| entry.clone()).collect()
    }

    /// The server at an endpoint that a resource belongs to: the one that lists it, or whose template it fits, or
    /// the only one that has resources at all. Of several, the only trusted one.
    pub(crate) fn owner_of(&self, uri: &str, at: &Endpoint) -> Result<ServerName, NoOwner> {
        let lists = |catalogue: &Catalogue| {
            catalogue
                .resources
                .iter()
                .any(|resource| text(resource, "uri").is_some_and(|found| found == uri))
        };
        let fits = |catalogue: &Catalogue| {
            catalogue.templates.iter().any(|template| {
                let pattern = text(template, "uriTemplate").unwrap_or_default();
                pattern == uri
                    || pattern
                        .split('{')
                        .next()
                        .is_some_and(|head| !head.is_empty() && uri.starts_with(head))
            })
        };
        let has = |catalogue: &Catalogue| catalogue.offered.has("resources");
        for question in [&lists as &dyn Fn(&Catalogue) -> bool, &fits, &has] {
            let owners = self.serving(at).filter(|(_, catalogue)| question(catalogue));
            let owners: Vec<&ServerName> = owners.map(|(name, _)| name).collect();
            // THREAT: nobody approves such lists. A server that lists a trusted one's names takes nothing from it.
            let trusted: Vec<&ServerName> = owners
                .iter()
                .copied()
                .filter(|name| self.is_trusted(name))
                .collect();
            match (owners.as_slice(), trusted.as_slice()) {
                ([], _) => {}
                ([only], _) | (_, [only]) => return Ok((*only).clone()),
                (_, _) => return Err(NoOwner::Several),
            }
        }
        Err(NoOwner::Unknown)
    }

    fn is_trusted(&self, name: &ServerName) -> bool {
        let server = self.registry.server(name);
        server.is_some_and(|server| server.manifest.trust == Trust::Trusted)
    }

    /// A resource of a server as rules see it: one that the server lists, or one that the caller made up.
    pub(crate) fn resource_of(&self, server: &PinnedServer, uri: &str) -> Resource {
        let lists = |resource: &Arc<Document>| {
            let listed = resource.root().get("uri");
            listed.is_some_and(|listed| listed.is_str(uri))
        };
        match self.catalogues.get(&server.server().name) {
            Some(catalogue) if catalogue.resources.iter().any(lists) => server.resource_at(uri),
            Some(_) | None => server.resource_made(uri),
        }
    }

    /// Servers at an endpoint that may be reached and have been seen.
    pub(crate) fn serving(&self, at: &Endpoint) -> impl Iterator<Item = (&ServerName, &Catalogue)> {
        let serves = |name: &ServerName| {
            let server = self.registry.server(name).filter(|_| at.leads_to(name));
            server.is_some_and(|server| server.may_start())
        };
        self.catalogues
            .iter()
            .filter(move |(name, _)| serves(name))
            .map(|(name, c)| (name, &**c))
    }

    /// Whether any server at an endpoint has a capability.
    pub(crate) fn has(&self, capability: &str, at: &Endpoint) -> bool {
        self.serving(at).any(|(_, c)| c.offered.has(capability))
    }
}

/// A definition as shown: with the name it has here, and without keys that are ours to set.
fn entry(pinned: &Pinned, name: &str) -> Entry {
    let root = pinned.definition().document().root();
    let mut edits = Edits::default();
    if let Some(meta) = meta::of(root) {
        for (key, value) in meta.members() {
            if key.as_str().is_some_and(|key| meta::is_ours(&key)) {
                edits.remove(value);
            }
        }
    }
    let shown = object(|out| {
        out.string("name", name);
        out.members_except(root, &["name"], &edits);
    });
    Entry {
        resource: Arc::clone(pinned.resource()),
        shown: Arc::from(shown),
    }
}

/// A text member of a listed resource or template.
pub(crate) fn text(document: &Document, member: &str) -> Option<String> {
    document
        .root()
        .get(member)
        .and_then(Node::as_str)
        .map(std::borrow::Cow::into_owned)
}
