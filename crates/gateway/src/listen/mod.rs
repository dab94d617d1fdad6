//! The doors: what comes in over HTTP and over pipes, up to where it becomes an [`pipeline::Arrival`].
//!
//! A listener looks at hosts, origins, sizes and framing, and decides nothing else. Whatever gets past it
//! takes the road.

mod api;
mod authorize;
mod authorize_elsewhere;
mod authorize_pages;
mod batch;
mod body;
mod connect;
mod console;
mod conversation;
mod decide;
mod device;
mod enroll;
mod gate;
mod head;
mod heads;
mod http;
mod linger;
mod mcp;
mod models;
mod oauth;
mod openapi;
mod page;
mod passkeys;
mod people_grants;
mod registry;
mod revision;
mod sse;
mod stdio;
mod stream;
mod tiles;
mod tokens;
mod websocket;
mod witness;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use pipeline::{Group, Pipeline};
use tokio::sync::Semaphore;

pub(crate) use conversation::CONVERSATIONS_MAX;
pub(crate) use http::{Listening, serve, stopped};
pub(crate) use oauth::resources;
pub(crate) use sse::EventStreams;
pub(crate) use stdio::{open_socket, serve_pipes, serve_socket};

use crate::{
    config::{events::SaidMetrics, operators::MeantOperators},
    engines::Engines,
    evidence::witness::Witness,
    known::{
        authorization::{Authorization, Throttle},
        enrolments::Enrolments,
    },
    operate::console::Console,
    storage::store::Store,
};
use wire::mcp::ServerName;

/// What every door needs.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) engines: Arc<Engines>,
    pub(crate) pipeline: Pipeline<Engines>,
    /// What survives a restart besides the ledger.
    pub(crate) store: Store,
    /// Who decides about servers.
    pub(crate) operators: MeantOperators,
    /// What people let in by a browser.
    pub(crate) authorization: Authorization,
    /// Who may use the console and the API.
    pub(crate) console: Console,
    /// Being a witness of other ledgers, and what witnesses say of this one.
    pub(crate) witness: Witness,
    /// Programs that ask to become agents.
    pub(crate) enrolments: Enrolments,
    /// `http://127.0.0.1:8420`: how the gateway names itself.
    pub(crate) base: String,
    /// `host:port` spellings under which it may be called.
    pub(crate) hosts: BTreeSet<String>,
    /// Origins browsers may call from.
    pub(crate) origins: BTreeSet<String>,
    /// Who may read what is counted.
    pub(crate) metrics: SaidMetrics,
    /// Endpoints that show several servers, by name.
    pub(crate) groups: BTreeMap<ServerName, Arc<Group>>,
    /// Wrong secrets people showed.
    pub(crate) attempts: Throttle,
    /// Streams of HTTP+SSE.
    pub(crate) event_streams: EventStreams,
    /// Room for conversations: [`CONVERSATIONS_MAX`].
    pub(crate) places: Arc<Semaphore>,
}
