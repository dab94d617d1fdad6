//! What of a server was approved at one time, and the way back to it.

use std::collections::BTreeMap;

use wire::{
    bounds::ANSWER,
    json::{Document, Keys, object},
};

use super::{
    Change, ChangeKind, Definition, Item, ItemKind, ItemState, Pin, Server, ServerState, StoredError,
    TransitionError,
    lifecycle::item_change,
    stored::{definition_at, kind_at, pin_at, write_definition},
};

/// What a person had approved of a server: what it starts, and its definitions.
///
/// INVARIANT (version): made by [`Server::version`] alone, of what was approved, or read from what that wrote; so
/// going back to one approves nothing that no person ever approved.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    launch: Pin,
    items: BTreeMap<(ItemKind, String), Definition>,
}

impl Version {
    /// What it starts.
    #[must_use]
    pub fn launch(&self) -> Pin {
        self.launch
    }

    /// How many definitions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Writes the version. The same version is the same text.
    #[must_use]
    pub fn to_stored(&self) -> Vec<u8> {
        object(|out| {
            out.string("launch", &self.launch.to_string());
            out.array("items", |list| {
                for ((kind, _), definition) in &self.items {
                    list.object(|out| {
                        out.string("kind", kind.as_str());
                        write_definition("approved", definition, out);
                    });
                }
            });
        })
    }

    /// Reads a version.
    ///
    /// # Errors
    /// When the text is damaged or a definition does not match its pin.
    pub fn from_stored(text: &[u8]) -> Result<Self, StoredError> {
        let document = Document::parse(text.to_vec(), Keys::Exact, &ANSWER)
            .map_err(|_| StoredError::Damaged("the JSON text"))?;
        let root = document.root();
        let mut items = BTreeMap::new();
        for item in root.get("items").ok_or(StoredError::Damaged("items"))?.elements() {
            let definition = definition_at(item, "approved")?.ok_or(StoredError::Damaged("approved"))?;
            items.insert((kind_at(item)?, definition.name().to_owned()), definition);
        }
        Ok(Self {
            launch: pin_at(root, "launch")?,
            items,
        })
    }
}

impl Server {
    /// What is approved now; none before the server was approved and looked at, and while it is held back.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        let approved = self
            .items
            .iter()
            .filter_map(|(key, item)| Some((key.clone(), item.approved.clone()?)));
        (self.may_start() && self.revision.is_some()).then(|| Version {
            launch: self.launch.pin,
            items: approved.collect(),
        })
    }

    /// A person goes back to what was approved before. Whatever the server would start or offers now that is
    /// something else is held back.
    ///
    /// # Errors
    /// When it is retired.
    pub fn roll_back(&mut self, version: &Version) -> Result<Vec<Change>, TransitionError> {
        if self.state == ServerState::Retired {
            return Err(self.refuse("a retired name is not used again; add the server under another name"));
        }
        let mut changes = Vec::new();
        self.approved_launch = Some(version.launch);
        self.state = ServerState::Approved;
        if self.launch.pin == version.launch {
            changes.push(self.change(ChangeKind::Approved));
        } else {
            let why = format!(
                "it would start `{}`, which is not that version",
                self.launch.shown
            );
            changes.push(self.quarantine(why)?);
        }
        let missing = version.items.keys().filter(|key| !self.items.contains_key(*key));
        let missing: Vec<_> = missing.cloned().collect();
        self.items
            .extend(missing.into_iter().map(|key| (key, Item::default())));
        for (key, item) in &mut self.items {
            let before = item.approved.take();
            let now = item.offered.take().or_else(|| before.clone());
            let withdrawn = item.state == ItemState::Withdrawn;
            item.approved = version.items.get(key).cloned();
            // What is held back although it is what was approved is held back for another reason than a change.
            let held = matches!(item.state, ItemState::Quarantined { .. }) && before == item.approved;
            let (state, what) = match (&item.approved, &now) {
                (Some(_), None) => (ItemState::Withdrawn, ChangeKind::Withdrawn),
                (Some(approved), Some(now)) if approved == now && withdrawn => {
                    (ItemState::Withdrawn, ChangeKind::Withdrawn)
                }
                (Some(approved), Some(now)) if approved == now && held => {
                    (item.state.clone(), ChangeKind::Quarantined)
                }
                (Some(approved), Some(now)) if approved == now => (ItemState::Approved, ChangeKind::Approved),
                (Some(_), Some(_)) => {
                    let why = "its definition is not that of the version gone back to".to_owned();
                    (ItemState::Quarantined { why }, ChangeKind::Quarantined)
                }
                (None, _) => (ItemState::Proposed, ChangeKind::Proposed),
            };
            item.offered = now.filter(|now| item.approved.as_ref() != Some(now));
            item.state = state;
            changes.push(item_change(key, item, what));
        }
        self.items
            .retain(|_, item| item.approved.is_some() || item.offered.is_some());
        Ok(changes)
    }
}
