//! What names mean.

use std::sync::Arc;

use pipeline::{
    Credential, Destination, Endpoint, Objection, Ready, Resolution,
    decide::Resolved,
    ports::{Resolve, Unfound},
    refusal,
};
use policy::{
    Resource,
    registry::{ItemKind, PinnedServer, Unresolved},
};
use wire::{
    json::object,
    mcp::{
        Direction, Membership, Method, Reference, ServerName, Target, code, membership, split_federated,
        target,
    },
};

use super::Engines;
use crate::registry::view::{NoOwner, View};

impl Resolve for Engines {
    fn resolve(&self, call: &Ready<Resolved>) -> Result<Resolution, Unfound> {
        let arrival = call.arrival();
        let view = self.keeper.view();
        if arrival.direction == Direction::ToClient {
            return to_client(&view, call);
        }
        let resolution = self.to_server(&view, call)?;
        if resolution.destination() == Destination::Upstream {
            nothing_unknown(call)?;
        }
        Ok(resolution)
    }
}

impl Engines {
    fn to_server(&self, view: &View, call: &Ready<Resolved>) -> Result<Resolution, Unfound> {
        let arrival = call.arrival();
        let door = Door::at(view, &arrival.endpoint)?;
        let target = target(&arrival.message).map_err(|error| {
            nothing(
                &refusal::PARAMS_INVALID,
                error.to_string(),
                Some(error.to_string()),
            )
        })?;
        match target {
            Target::Tool { name, .. } => door.item(ItemKind::Tool, &name),
            Target::Prompt { name, .. } => door.item(ItemKind::Prompt, &name),
            Target::Resource { uri } => door.resource(&uri, arrival.message.method()),
            Target::Completion {
                reference: Reference::Prompt(name),
                ..
            } => {
                let (server, item) = door.find(ItemKind::Prompt, &name)?;
                Ok(Resolution::Server {
                    resource: Arc::clone(item.resource()),
                    server,
                    prompt: Some(item),
                })
            }
            Target::Completion {
                reference: Reference::Template(uri),
                ..
            } => door.template(&uri),
            Target::Task { id } => {
                declared(call)?;
                // Whose it is, is said to nobody else.
                let owner = call.principal().key();
                let known = self
                    .task_owners
                    .tool(&owner, &id, |server| door.endpoint.leads_to(server));
                if let Some((server, tool)) = known
                    && let Some(resource) = approved(view, &server, &tool)
                {
                    return Ok(Resolution::Server {
                        server: pinned_server(view, &server)?,
                        resource,
                        prompt: None,
                    });
                }
                let why = format!("no task `{}` of this caller", id.escape_debug());
                Err(nothing(&refusal::TARGET_UNKNOWN, why, None))
            }
            Target::Model { name } => {
                let message = &arrival.message;
                self.models.resolve(message.method(), message.params(), &name)
            }
            Target::None => match arrival.message.method() {
                Some(method) if is_for_the_server(method) && door.endpoint.single().is_some() => {
                    door.whole_server()
                }
                Some(_) | None => Ok(Resolution::Gateway),
            },
        }
    }
}

/// Refuses members of the parameters that no revision has: nobody on the way knows what they ask for, so nobody can
/// judge it. What another revision has means nothing in this one, and stays behind.
fn nothing_unknown(call: &Ready<Resolved>) -> Result<(), Unfound> {
    let arrival = call.arrival();
    let (Some(method), Some(params)) = (arrival.message.method(), arrival.message.params()) else {
        return Ok(());
    };
    let unknown = params.members().find_map(|(key, _)| {
        let name = key.as_str().unwrap_or_default();
        (membership(method, arrival.revision, &name) == Membership::Unknown).then_some(name)
    });
    let Some(name) = unknown else { return Ok(()) };
    let name: String = name.chars().take(NAME_SHOWN_MAX).collect();
    let why = format!("`{method}` has no member `{}`", name.escape_debug());
    let objection = Objection::new(&refusal::PARAMS_INVALID, why.clone()).showing(why);
    let remedy = "leave it out; what is a vendor's own goes into `_meta`, under a name with a prefix";
    Err(Unfound::Nothing(Box::new(objection.remedied(remedy))))
}

/// Most characters that are told of a name nobody knows.
const NAME_SHOWN_MAX: usize = 64;

/// The tool that made a task, as it is now: what is held back has no results either.
fn approved(view: &View, server: &ServerName, tool: &Resource) -> Option<Arc<Resource>> {
    let Resource::Tool(facts) = tool else { return None };
    let item = view.registry.item(server, ItemKind::Tool, &facts.name).ok()?;
    Some(Arc::clone(item.resource()))
}

/// What belongs to an extension is for those who declared it (modern era).
fn declared(call: &Ready<Resolved>) -> Result<(), Unfound> {
    let arrival = call.arrival();
    let extension = arrival
        .message
        .method()
        .and_then(|method| method.extension(arrival.revision));
    let Some(extension) = extension else { return Ok(()) };
    if arrival.capabilities.at(&["extensions", extension]).is_some() {
        return Ok(());
    }
    let data = object(|out| {
        out.object("requiredCapabilities", |out| {
            out.object("extensions", |out| out.object(extension, |_| {}));
        });
    });
    Err(Unfound::Nothing(Box::new(Objection {
        data: Some(data.into_boxed_slice()),
        ..Objection::new(&UNDECLARED, format!("the client did not declare `{extension}`"))
    })))
}

/// The same as for a client that cannot be asked, said in the modern era's way: HTTP 400 and -32021.
static UNDECLARED: refusal::Code = refusal::Code {
    fault: refusal::Fault::Caller,
    http: 400,
    rpc: code::MISSING_CLIENT_CAPABILITY,
    ..refusal::CAPABILITY_MISSING
};

/// Methods without a target that one server answers itself, where the door is one server's.
fn is_for_the_server(method: Method) -> bool {
    matches!(method, Method::LoggingSetLevel | Method::TasksList)
}

fn to_client(view: &View, call: &Ready<Resolved>) -> Result<Resolution, Unfound> {
    let Credential::Link(name) = &call.arrival().credential else {
        return Err(nothing(
            &refusal::TARGET_UNKNOWN,
            "not a server's message".into(),
            None,
        ));
    };
    Ok(Resolution::Client {
        server: pinned_server(view, name)?,
    })
}

/// One door, with what can be seen through it.
struct Door<'d> {
    view: &'d View,
    endpoint: &'d Endpoint,
}

impl<'d> Door<'d> {
    /// A server's is there if the server is.
    fn at(view: &'d View, endpoint: &'d Endpoint) -> Result<Self, Unfound> {
        if let Endpoint::Server(name) = endpoint
            && view.registry.server(name).is_none()
        {
            let why = format!("no server `{name}`");
            return Err(nothing(&refusal::ENDPOINT_UNKNOWN, why, None));
        }
        Ok(Self { view, endpoint })
    }

    fn item(&self, kind: ItemKind, name: &str) -> Result<Resolution, Unfound> {
        self.find(kind, name)
            .map(|(server, item)| Resolution::Item { server, item })
    }

    fn find(&self, kind: ItemKind, name: &str) -> Result<(PinnedServer, policy::registry::Pinned), Unfound> {
        let registry = &self.view.registry;
        let found = match self.endpoint {
            Endpoint::All => registry.federated(kind, name, None),
            Endpoint::Group(group) => registry.federated(kind, name, Some(&group.servers)),
            Endpoint::Server(server) => registry.item(server, kind, name),
        };
        let item = found.map_err(|unresolved| self.unfound(kind, name, unresolved))?;
        Ok((pinned_server(self.view, item.server())?, item))
    }

    fn unfound(&self, kind: ItemKind, name: &str, unresolved: Unresolved) -> Unfound {
        let shown = name.escape_debug().to_string();
        match unresolved {
            Unresolved::Unknown => nothing(
                &refusal::TARGET_UNKNOWN,
                format!("no {} `{shown}`", kind.as_str()),
                // Not even its name: what somebody may not discover is answered in the same words.
                None,
            ),
            Unresolved::Ambiguous => nothing(
                &refusal::TARGET_AMBIGUOUS,
                format!("`{shown}` could be several"),
                Some(shown),
            ),
            Unresolved::Held => match self.held(kind, name) {
                Some((resource, why)) => {
                    let objection = Objection::new(&refusal::TARGET_HELD, why).showing(shown);
                    Unfound::Held(Arc::new(resource), Box::new(objection))
                }
                None => nothing(&refusal::TARGET_UNKNOWN, format!("`{shown}` is held back"), None),
            },
        }
    }

    /// What is held back, as rules would see it, and why it is.
    fn held(&self, kind: ItemKind, name: &str) -> Option<(Resource, String)> {
        let split = split_federated(name);
        let (server, item) = match (self.endpoint.single(), &split) {
            (Some(server), _) => (server, name),
            (None, Some((server, item))) => (server, *item),
            (None, None) => return None,
        };
        let server = self.view.registry.server(server)?;
        Some((server.resource(kind, item), server.held_because(kind, item)))
    }

    fn resource(&self, uri: &str, method: Option<Method>) -> Result<Resolution, Unfound> {
        let server = self.server_of(uri)?;
        let resource = match method {
            // Of what it does not watch the server is not told.
            Some(Method::ResourcesUnsubscribe) => server.resource_at(uri),
            Some(_) | None => self.view.resource_of(&server, uri),
        };
        Ok(of_server(server, resource))
    }

    /// A template of which an argument is to be completed.
    fn template(&self, uri: &str) -> Result<Resolution, Unfound> {
        let server = self.server_of(uri)?;
        let resource = server.resource_made(uri);
        Ok(of_server(server, resource))
    }

    /// The server that a resource belongs to.
    fn server_of(&self, uri: &str) -> Result<PinnedServer, Unfound> {
        let shown = uri.escape_debug().to_string();
        let name = match self.endpoint.single() {
            Some(name) => name.clone(),
            None => self
                .view
                .owner_of(uri, self.endpoint)
                .map_err(|none| match none {
                    NoOwner::Unknown => {
                        nothing(&refusal::TARGET_UNKNOWN, format!("no resource `{shown}`"), None)
                    }
                    NoOwner::Several => nothing(
                        &refusal::TARGET_AMBIGUOUS,
                        format!("several servers could have `{shown}`"),
                        Some(format!("{shown} (use the endpoint of one server)")),
                    ),
                })?,
        };
        pinned_server(self.view, &name)
    }

    fn whole_server(&self) -> Result<Resolution, Unfound> {
        let name = self
            .endpoint
            .single()
            .ok_or_else(|| nothing(&refusal::TARGET_UNKNOWN, "no server".into(), None))?;
        let server = pinned_server(self.view, name)?;
        let resource = Arc::clone(server.resource());
        Ok(Resolution::Server {
            server,
            resource,
            prompt: None,
        })
    }
}

fn of_server(server: PinnedServer, resource: Resource) -> Resolution {
    Resolution::Server {
        server,
        resource: Arc::new(resource),
        prompt: None,
    }
}

fn pinned_server(view: &View, name: &ServerName) -> Result<PinnedServer, Unfound> {
    view.registry.pinned_server(name).map_err(|unresolved| {
        let why = match unresolved {
            Unresolved::Held => format!("server `{name}` is held back"),
            Unresolved::Ambiguous | Unresolved::Unknown => format!("no server `{name}`"),
        };
        nothing(&refusal::TARGET_UNKNOWN, why, None)
    })
}

fn nothing(code: &'static refusal::Code, inside: String, shown: Option<String>) -> Unfound {
    Unfound::Nothing(Box::new(Objection {
        shown,
        ..Objection::new(code, inside)
    }))
}
