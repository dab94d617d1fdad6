//! How a server and what it offers move from state to state. Every step is a person's, except those that
//! take something out of service.

use std::collections::BTreeSet;

use thiserror::Error;

use super::{Definition, Item, ItemKind, ItemState, Launch, Manifest, Pin, Server, ServerState};

/// What a server offers now.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// Tools and prompts.
    pub items: Vec<(ItemKind, Definition)>,
    /// Things offered that are no definitions, with the reason.
    pub malformed: Vec<String>,
    /// What it says of itself.
    pub identity: Option<Definition>,
    /// Kinds that were listed; a kind that was not asked for is neither there nor gone.
    pub listed: BTreeSet<ItemKind>,
}

/// What becomes of something offered for the first time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnNew {
    /// It is approved with its server: the first listing after a person approved the server.
    Approve,
    /// It waits for a person.
    Propose,
}

/// Something that changed, to be recorded and told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// Of which kind; none for the server itself.
    pub item: Option<(ItemKind, String)>,
    /// What happened.
    pub kind: ChangeKind,
    /// The pin that was approved.
    pub approved: Option<Pin>,
    /// The pin that is offered now.
    pub offered: Option<Pin>,
}

/// What can change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChangeKind {
    /// Approved by a person, directly or with its server.
    Approved,
    /// Offered for the first time, waiting.
    Proposed,
    /// Not what was approved: held back.
    Quarantined,
    /// Again what was approved: it serves again.
    Restored,
    /// No longer offered.
    Withdrawn,
}

/// Why a step is refused.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum TransitionError {
    /// The step does not start from this state.
    #[error("`{name}` is {state}; {remedy}")]
    State {
        /// Server or item.
        name: String,
        /// Its state.
        state: &'static str,
        /// What can be done instead.
        remedy: &'static str,
    },
    /// No such tool or prompt.
    #[error("there is no tool or prompt `{0}`; see `sallyport server show`")]
    Unknown(String),
}

impl Server {
    /// Takes over what configuration says now. A changed launch quarantines the server: what was approved
    /// is not what would run (CurXecute and MCPoison, CVE-2025-54135/54136).
    pub fn configure(&mut self, launch: Launch, manifest: Manifest) -> Option<Change> {
        self.manifest = manifest;
        let changed = self
            .approved_launch
            .is_some_and(|approved| approved != launch.pin);
        let why = changed.then(|| format!("what it would start changed to `{}`", launch.shown));
        if self.launch != launch {
            self.eras = None;
        }
        self.launch = launch;
        match (why, &self.state) {
            (Some(why), ServerState::Approved) => {
                self.state = ServerState::Quarantined { why };
                Some(self.change(ChangeKind::Quarantined))
            }
            _ => None,
        }
    }

    /// A person approves the server as configured now. What it offers is pinned at its next listing.
    ///
    /// # Errors
    /// When it is retired.
    pub fn approve(&mut self) -> Result<Change, TransitionError> {
        if self.state == ServerState::Retired {
            return Err(self.refuse("a retired name is not used again; add the server under another name"));
        }
        if self.state != ServerState::Approved {
            // What it calls itself is pinned with the rest: by the old name it would be held back again at once.
            self.identity = None;
        }
        self.state = ServerState::Approved;
        self.approved_launch = Some(self.launch.pin);
        Ok(self.change(ChangeKind::Approved))
    }

    /// Holds the whole server back.
    ///
    /// # Errors
    /// When it is retired.
    pub fn quarantine(&mut self, why: String) -> Result<Change, TransitionError> {
        if self.state == ServerState::Retired {
            return Err(self.refuse("it serves nothing any more"));
        }
        self.state = ServerState::Quarantined { why };
        Ok(self.change(ChangeKind::Quarantined))
    }

    /// Ends a server for good.
    pub fn retire(&mut self) {
        self.state = ServerState::Retired;
        self.items.clear();
    }

    /// A person approves a tool or prompt as it is offered now.
    ///
    /// # Errors
    /// When there is none, or nothing is offered under that name.
    pub fn approve_item(&mut self, kind: ItemKind, name: &str) -> Result<Change, TransitionError> {
        let key = (kind, name.to_owned());
        let item = self
            .items
            .get_mut(&key)
            .ok_or_else(|| TransitionError::Unknown(name.to_owned()))?;
        if item.state == ItemState::Withdrawn {
            return Err(TransitionError::State {
                name: name.to_owned(),
                state: item.state.as_str(),
                remedy: "the server no longer offers it",
            });
        }
        if let Some(offered) = item.offered.take() {
            item.approved = Some(offered);
        }
        item.state = ItemState::Approved;
        Ok(item_change(&key, item, ChangeKind::Approved))
    }

    /// Holds a tool or prompt back.
    ///
    /// # Errors
    /// When there is none.
    pub fn quarantine_item(
        &mut self,
        kind: ItemKind,
        name: &str,
        why: String,
    ) -> Result<Change, TransitionError> {
        let key = (kind, name.to_owned());
        let item = self
            .items
            .get_mut(&key)
            .ok_or_else(|| TransitionError::Unknown(name.to_owned()))?;
        item.state = ItemState::Quarantined { why };
        Ok(item_change(&key, item, ChangeKind::Quarantined))
    }

    /// Compares what the server offers with what was approved.
    ///
    /// INVARIANT (pins): this never writes `approved` of something that has one. A changed definition is
    /// held back until [`Server::approve_item`], whatever the server offers in between; only going back to
    /// the approved definition restores it.
    pub fn observe(&mut self, offer: Offer, on_new: OnNew) -> Vec<Change> {
        let mut changes = Vec::new();
        self.observe_identity(offer.identity, &mut changes);
        let mut seen = BTreeSet::new();
        for (kind, definition) in offer.items {
            let key = (kind, definition.name().to_owned());
            let twice = !seen.insert(key.clone());
            let item = self.items.entry(key.clone()).or_default();
            if let Some(what) = observe_item(item, definition, on_new, twice) {
                changes.push(item_change(&key, item, what));
            }
        }
        for (key, item) in &mut self.items {
            let gone = offer.listed.contains(&key.0) && !seen.contains(key);
            if gone && item.state != ItemState::Withdrawn {
                item.state = ItemState::Withdrawn;
                item.offered = None;
                changes.push(item_change(key, item, ChangeKind::Withdrawn));
            }
        }
        self.items
            .retain(|_, item| item.approved.is_some() || item.state != ItemState::Withdrawn);
        changes
    }

    /// Another name means another program behind the same launch; another version alone is an update,
    /// whose definitions are compared one by one.
    fn observe_identity(&mut self, identity: Option<Definition>, changes: &mut Vec<Change>) {
        let Some(identity) = identity else { return };
        match &self.identity {
            None => self.identity = Some(identity),
            Some(known) if known.name() != identity.name() => {
                let why = format!(
                    "it called itself `{}` and now `{}`",
                    known.name(),
                    identity.name()
                );
                self.state = ServerState::Quarantined { why };
                let mut change = self.change(ChangeKind::Quarantined);
                change.offered = Some(identity.pin());
                changes.push(change);
            }
            // Another version may speak what this one did not.
            Some(known) if known.pin() != identity.pin() => {
                self.identity = Some(identity);
                self.eras = None;
            }
            Some(_) => {}
        }
    }

    pub(super) fn change(&self, kind: ChangeKind) -> Change {
        Change {
            item: None,
            kind,
            approved: self.approved_launch,
            offered: Some(self.launch.pin),
        }
    }

    pub(super) fn refuse(&self, remedy: &'static str) -> TransitionError {
        TransitionError::State {
            name: self.name.to_string(),
            state: self.state.as_str(),
            remedy,
        }
    }
}

/// What becomes of one thing offered; nothing if all is as it was.
fn observe_item(item: &mut Item, definition: Definition, on_new: OnNew, twice: bool) -> Option<ChangeKind> {
    if twice {
        let why = "two definitions have the same name".to_owned();
        item.offered = Some(definition);
        item.state = ItemState::Quarantined { why };
        return Some(ChangeKind::Quarantined);
    }
    match &item.approved {
        None if on_new == OnNew::Approve && item.state == ItemState::Proposed => {
            item.approved = Some(definition);
            item.state = ItemState::Approved;
            Some(ChangeKind::Approved)
        }
        None => {
            let known = item.offered.as_ref() == Some(&definition);
            item.offered = Some(definition);
            (!known).then_some(ChangeKind::Proposed)
        }
        Some(approved) if *approved == definition => {
            let drifted = item.offered.take().is_some() || item.state == ItemState::Withdrawn;
            if drifted {
                item.state = ItemState::Approved;
            }
            drifted.then_some(ChangeKind::Restored)
        }
        Some(_) => {
            let known = item.offered.as_ref() == Some(&definition);
            item.offered = Some(definition);
            item.state = ItemState::Quarantined {
                why: "its definition changed after approval".to_owned(),
            };
            (!known).then_some(ChangeKind::Quarantined)
        }
    }
}

pub(super) fn item_change(key: &(ItemKind, String), item: &Item, kind: ChangeKind) -> Change {
    Change {
        item: Some(key.clone()),
        kind,
        approved: item.approved.as_ref().map(Definition::pin),
        offered: item.offered.as_ref().map(Definition::pin),
    }
}

impl ChangeKind {
    /// The word records use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Proposed => "proposed",
            Self::Quarantined => "quarantined",
            Self::Restored => "restored",
            Self::Withdrawn => "withdrawn",
        }
    }
}
