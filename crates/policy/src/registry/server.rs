//! One server in the registry: its state, its launch, what was approved and what is offered.

use std::collections::BTreeMap;

use wire::mcp::{Eras, Revision, ServerName};

use super::{Definition, Manifest, Pin};

/// Where a server stands.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum ServerState {
    /// A person approved it; it serves.
    Approved,
    /// Known, never approved: it is not started and serves nothing. The default.
    #[default]
    Proposed,
    /// Approved once, now held back.
    Quarantined {
        /// Why, for people.
        why: String,
    },
    /// Gone for good; kept so that its name cannot be taken.
    Retired,
}

/// What would be started or connected to, as a digest and as a sentence.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Launch {
    /// Digest of everything that decides what runs: command, arguments, names of environment variables,
    /// directory, or URL.
    pub pin: Pin,
    /// For people: `npx -y server-x /home`, `https://mcp.example/mcp`.
    pub shown: String,
}

/// Which kind of definition.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ItemKind {
    /// What the server would have the model know: text that acts before any call.
    Instructions,
    /// From `prompts/list`.
    Prompt,
    /// From `tools/list`.
    Tool,
}

/// Where a tool or prompt stands.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum ItemState {
    /// What is offered is what was approved; it serves.
    Approved,
    /// Offered, never approved. The default.
    #[default]
    Proposed,
    /// Held back: it changed, or inspection found something, or a person said so.
    Quarantined {
        /// Why, for people.
        why: String,
    },
    /// Approved, but the server no longer offers it.
    Withdrawn,
}

/// A tool or prompt.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Item {
    /// Where it stands.
    pub state: ItemState,
    /// What a person approved.
    pub approved: Option<Definition>,
    /// What the server offered last, where that is something else.
    pub offered: Option<Definition>,
}

/// A server.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Its name.
    pub name: ServerName,
    /// Where it stands.
    pub state: ServerState,
    /// What configuration would start now.
    pub launch: Launch,
    /// What a person approved to start; none before the first approval.
    pub approved_launch: Option<Pin>,
    /// The operator's word on it.
    pub manifest: Manifest,
    /// Tools and prompts by kind and name.
    pub items: BTreeMap<(ItemKind, String), Item>,
    /// What the server says of itself (name and version), approved with it; hearsay, but a change of it
    /// means another program.
    pub identity: Option<Definition>,
    /// The revision it was found to speak, and when (milliseconds since 1970).
    pub revision: Option<(Revision, i64)>,
    /// Which eras it was found to speak, and when (milliseconds since 1970). Of this version of it: another one
    /// is asked anew.
    pub eras: Option<(Eras, i64)>,
}

impl Server {
    /// A server that was just configured.
    #[must_use]
    pub fn proposed(name: ServerName, launch: Launch, manifest: Manifest) -> Self {
        Self {
            name,
            state: ServerState::Proposed,
            launch,
            approved_launch: None,
            manifest,
            items: BTreeMap::new(),
            identity: None,
            revision: None,
            eras: None,
        }
    }

    /// Why something of this server does not serve, for people.
    #[must_use]
    pub fn held_because(&self, kind: ItemKind, name: &str) -> String {
        match &self.state {
            ServerState::Proposed => return "the server was never approved".to_owned(),
            ServerState::Quarantined { why } => return format!("the server is quarantined: {why}"),
            ServerState::Retired => return "the server is retired".to_owned(),
            ServerState::Approved => {}
        }
        match self.items.get(&(kind, name.to_owned())).map(|item| &item.state) {
            Some(ItemState::Proposed) => "it was never approved".to_owned(),
            Some(ItemState::Quarantined { why }) => why.clone(),
            Some(ItemState::Withdrawn) => "the server no longer offers it".to_owned(),
            Some(ItemState::Approved) => "what the server would start changed".to_owned(),
            None => "there is no such thing".to_owned(),
        }
    }

    /// Whether it may be started: approved, and configured to start what was approved.
    #[must_use]
    pub fn may_start(&self) -> bool {
        self.state == ServerState::Approved && self.approved_launch == Some(self.launch.pin)
    }
}

impl ServerState {
    /// The word records and the command line use.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Proposed => "proposed",
            Self::Quarantined { .. } => "quarantined",
            Self::Retired => "retired",
        }
    }
}

impl ItemState {
    /// The word records and the command line use.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Proposed => "proposed",
            Self::Quarantined { .. } => "quarantined",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl ItemKind {
    /// The word records and the command line use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Instructions => "instructions",
            Self::Prompt => "prompt",
            Self::Tool => "tool",
        }
    }
}
