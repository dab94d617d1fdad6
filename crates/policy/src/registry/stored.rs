//! A server as JSON, for the store: what was approved, what is offered, and their states.
//!
//! Configuration is not stored (it is the operator's file), so trust, labels and sinks come from there
//! each time; what is stored is what people decided and what servers said.

use thiserror::Error;
use wire::{
    bounds::ANSWER,
    json::{Document, Keys, Node, ObjectWriter, object},
    mcp::{Eras, Revision, ServerName},
};

use super::{Definition, Item, ItemKind, ItemState, Launch, Manifest, Pin, Server, ServerState};

/// Why a stored server cannot be used. Whoever edited it behind our back must say so.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum StoredError {
    /// Not what we wrote.
    #[error("the stored registry entry is damaged at `{0}`; restore it from a backup or retire the server")]
    Damaged(&'static str),
    /// A definition whose digest is not its pin.
    #[error("the stored definition of `{0}` does not match its pin; somebody changed the store")]
    PinMismatch(String),
}

impl Server {
    /// Writes the server.
    #[must_use]
    pub fn to_stored(&self) -> Vec<u8> {
        object(|out| {
            out.string("name", self.name.as_str());
            out.string("state", self.state.as_str());
            if let ServerState::Quarantined { why } = &self.state {
                out.string("why", why);
            }
            out.object("launch", |launch| {
                launch.string("pin", &self.launch.pin.to_string());
                launch.string("shown", &self.launch.shown);
            });
            if let Some(pin) = self.approved_launch {
                out.string("approved_launch", &pin.to_string());
            }
            if let Some(identity) = &self.identity {
                write_definition("identity", identity, out);
            }
            if let Some((revision, seen_ms)) = self.revision {
                out.object("revision", |out| {
                    out.string("is", revision.as_str());
                    out.integer("seen_ms", seen_ms);
                });
            }
            if let Some((eras, asked_ms)) = self.eras {
                out.object("eras", |out| {
                    out.string("are", eras.as_str());
                    out.integer("asked_ms", asked_ms);
                });
            }
            out.array("items", |items| {
                for ((kind, name), item) in &self.items {
                    items.object(|out| write_item(*kind, name, item, out));
                }
            });
        })
    }

    /// Reads a server, with the manifest configuration gives it now.
    ///
    /// # Errors
    /// When the text is damaged or a definition does not match its pin.
    pub fn from_stored(text: &[u8], manifest: Manifest) -> Result<Self, StoredError> {
        let document = Document::parse(text.to_vec(), Keys::Exact, &ANSWER)
            .map_err(|_| StoredError::Damaged("the JSON text"))?;
        let root = document.root();
        let name = ServerName::parse(&text_at(root, "name")?).map_err(|_| StoredError::Damaged("name"))?;
        let launch = root.get("launch").ok_or(StoredError::Damaged("launch"))?;
        let launch = Launch {
            pin: pin_at(launch, "pin")?,
            shown: text_at(launch, "shown")?,
        };
        let mut server = Self::proposed(name, launch, manifest);
        server.state = match text_at(root, "state")?.as_str() {
            "approved" => ServerState::Approved,
            "proposed" => ServerState::Proposed,
            "quarantined" => ServerState::Quarantined {
                why: text_at(root, "why")?,
            },
            "retired" => ServerState::Retired,
            _ => return Err(StoredError::Damaged("state")),
        };
        server.approved_launch = root
            .get("approved_launch")
            .map(|_| pin_at(root, "approved_launch"))
            .transpose()?;
        server.identity = definition_at(root, "identity")?;
        server.revision = root.get("revision").map(read_revision).transpose()?;
        server.eras = root.get("eras").map(read_eras).transpose()?;
        for item in root.get("items").ok_or(StoredError::Damaged("items"))?.elements() {
            let (key, item) = read_item(item)?;
            server.items.insert(key, item);
        }
        Ok(server)
    }
}

fn write_item(kind: ItemKind, name: &str, item: &Item, out: &mut ObjectWriter<'_>) {
    out.string("kind", kind.as_str());
    out.string("name", name);
    out.string("state", item.state.as_str());
    if let ItemState::Quarantined { why } = &item.state {
        out.string("why", why);
    }
    if let Some(approved) = &item.approved {
        write_definition("approved", approved, out);
    }
    if let Some(offered) = &item.offered {
        write_definition("offered", offered, out);
    }
}

pub(super) fn write_definition(key: &str, definition: &Definition, out: &mut ObjectWriter<'_>) {
    out.object(key, |out| {
        out.string("pin", &definition.pin().to_string());
        out.node("definition", definition.document().root());
    });
}

fn read_item(node: Node<'_>) -> Result<((ItemKind, String), Item), StoredError> {
    let kind = kind_at(node)?;
    let state = match text_at(node, "state")?.as_str() {
        "approved" => ItemState::Approved,
        "proposed" => ItemState::Proposed,
        "quarantined" => ItemState::Quarantined {
            why: text_at(node, "why")?,
        },
        "withdrawn" => ItemState::Withdrawn,
        _ => return Err(StoredError::Damaged("state")),
    };
    let approved = definition_at(node, "approved")?;
    if state == ItemState::Approved && approved.is_none() {
        return Err(StoredError::Damaged("approved"));
    }
    let item = Item {
        state,
        approved,
        offered: definition_at(node, "offered")?,
    };
    Ok(((kind, text_at(node, "name")?), item))
}

pub(super) fn kind_at(node: Node<'_>) -> Result<ItemKind, StoredError> {
    match text_at(node, "kind")?.as_str() {
        "instructions" => Ok(ItemKind::Instructions),
        "prompt" => Ok(ItemKind::Prompt),
        "tool" => Ok(ItemKind::Tool),
        _ => Err(StoredError::Damaged("kind")),
    }
}

fn read_revision(node: Node<'_>) -> Result<(Revision, i64), StoredError> {
    let revision = Revision::parse(&text_at(node, "is")?).ok_or(StoredError::Damaged("revision"))?;
    Ok((revision, moment_at(node, "seen_ms")?))
}

fn read_eras(node: Node<'_>) -> Result<(Eras, i64), StoredError> {
    let eras = Eras::parse(&text_at(node, "are")?).ok_or(StoredError::Damaged("eras"))?;
    Ok((eras, moment_at(node, "asked_ms")?))
}

fn moment_at(node: Node<'_>, key: &'static str) -> Result<i64, StoredError> {
    let number = node.get(key).and_then(Node::as_number);
    number.and_then(|n| n.as_i64()).ok_or(StoredError::Damaged(key))
}

pub(super) fn definition_at(node: Node<'_>, key: &'static str) -> Result<Option<Definition>, StoredError> {
    let Some(stored) = node.get(key) else {
        return Ok(None);
    };
    let definition = stored.get("definition").ok_or(StoredError::Damaged(key))?;
    let definition = Definition::offered(definition).map_err(|_| StoredError::Damaged(key))?;
    if definition.pin() != pin_at(stored, "pin")? {
        return Err(StoredError::PinMismatch(definition.name().to_owned()));
    }
    Ok(Some(definition))
}

fn text_at(node: Node<'_>, key: &'static str) -> Result<String, StoredError> {
    let text = node
        .get(key)
        .and_then(Node::as_str)
        .ok_or(StoredError::Damaged(key))?;
    Ok(text.into_owned())
}

pub(super) fn pin_at(node: Node<'_>, key: &'static str) -> Result<Pin, StoredError> {
    Pin::parse(&text_at(node, key)?).ok_or(StoredError::Damaged(key))
}
