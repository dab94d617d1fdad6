//! What a server says of its own accord.

use std::sync::Arc;

use pipeline::{
    Objection,
    ports::{Boxed, Caller, Exchange},
};
use wire::{
    jsonrpc::Message,
    mcp::{Eras, Revision, ServerName},
};
use zeroize::Zeroizing;

/// A message from a server that answers nothing.
#[derive(Debug)]
pub struct Incoming {
    /// The server.
    pub server: ServerName,
    /// The revision of the link it came over.
    pub revision: Revision,
    /// The message: a request or a notification.
    pub message: Message,
    /// The client's side of the call it belongs to, where one is known.
    pub exchange: Option<Arc<dyn Exchange>>,
    /// Which principal the link serves; none on the gateway's own link.
    pub owner: Option<Arc<str>>,
    /// The client's session that the link is for, where it is for one alone.
    pub session: Option<Arc<str>>,
}

/// What becomes of a server's request.
#[derive(Debug)]
pub struct Said {
    /// The answer to be sent back.
    pub text: Vec<u8>,
    /// Why it was refused, where it was.
    pub refused: Option<Box<Objection>>,
}

/// Something a server sent that is no message, or answers nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Noise {
    /// The server.
    pub server: ServerName,
    /// What it was, shortened and escaped.
    pub what: String,
}

/// Where such messages go: onto the road.
pub trait Backchannel: Send + Sync + 'static {
    /// Takes a message; for a request, returns the answer to be sent back.
    fn incoming(&self, incoming: Incoming) -> Boxed<'_, Option<Said>>;

    /// Takes notice of noise.
    fn noise(&self, noise: Noise);

    /// A server says that what it lists changed. That is said to the gateway: it looks, and then tells.
    fn changed(&self, server: &ServerName);

    /// A process is about to be started: whether what would run is what was approved, and why not. Reads every
    /// byte of it, so it is asked where waiting harms nobody.
    ///
    /// # Errors
    /// When it is not to be started.
    fn before_start(&self, server: &ServerName) -> Result<(), String>;

    /// Which eras a server was found to speak.
    fn speaks(&self, server: &ServerName, eras: Eras);

    /// Opens the broker's socket for a server that may reach hosts, before its box is made.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn open_egress(&self, server: &ServerName) -> Result<(), String>;

    /// The values of variables that are secrets of whoever a process is started for: nobody where it is the gateway's
    /// own. What is of nobody in particular is given to all.
    ///
    /// # Errors
    /// When one is not there.
    fn secrets(
        &self,
        server: &ServerName,
        caller: Option<&Caller>,
        wanted: &[(String, String)],
    ) -> Result<Vec<(String, Zeroizing<String>)>, String>;

    /// A server's process ended by itself and not well: whose it was, if it was started for somebody, and how.
    fn crashed(&self, server: &ServerName, owner: Option<&str>, how: &str);

    /// Why none is started for somebody now: those that were keep crashing.
    fn crashing(&self, server: &ServerName, owner: &str) -> Option<String>;

    /// A server's listing is not what it was: what it offers now.
    fn listed(&self, server: &ServerName, catalogue: Arc<crate::Catalogue>);
}
