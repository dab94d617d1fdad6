//! Whose directory it is: one writer at a time, and copies are noticed.
//!
//! The lock of the operating system keeps two processes of one machine apart. Where that lock does not
//! reach (a network file system), the token in the file does: before each checkpoint the writer looks
//! whether its token still stands there, and stops for good when it does not.

use std::sync::Arc;

use wire::json::{Document, Keys, Node, object};

use super::{
    layout::{FILE_BYTES_MAX, Layout, at},
    options::{OpenError, Ports},
};
use crate::{
    digest::hex,
    disk::{DiskFile, replace},
};

/// The right to write, until it is dropped.
#[derive(Debug)]
pub(crate) struct Owner {
    layout: Layout,
    file: Arc<dyn DiskFile>,
    token: String,
    /// Which directory this is; new when the directory is a copy.
    pub(crate) instance: String,
    /// The directory it was copied from, if it was.
    pub(crate) copied_from: Option<String>,
}

impl Owner {
    /// Takes the directory.
    pub(crate) fn take(layout: &Layout, ports: &Ports) -> Result<Self, OpenError> {
        let disk = &*ports.disk;
        disk.create_dir(&layout.wal()).map_err(at(layout.dir()))?;
        let path = layout.lock();
        let file = disk.lock(&path).map_err(at(&path))?;
        let file = file.ok_or_else(|| OpenError::Locked(layout.dir().to_owned()))?;
        let identity = disk.identity(&path).map_err(at(&path))?;
        let place = (identity.device.to_string(), identity.inode.to_string());

        let path = layout.instance();
        let known = disk
            .read(&path, FILE_BYTES_MAX)
            .map_err(at(&path))?
            .and_then(read);
        let (instance, copied_from) = match known {
            Some((instance, known)) if known == place => (instance, None),
            other => (
                hex(&ports.random.array::<16>()?),
                other.map(|(instance, _)| instance),
            ),
        };
        replace(disk, &path, &write(&instance, &place)).map_err(at(&path))?;
        Ok(Self {
            layout: layout.clone(),
            file,
            token: hex(&ports.random.array::<16>()?),
            instance,
            copied_from,
        })
    }

    /// Leaves the mark by which another writer would be noticed.
    pub(crate) fn mark(&mut self, epoch: u64) -> Result<(), OpenError> {
        self.token = format!("epoch {epoch} {}\n", self.token);
        let mark = self.token.as_bytes();
        let marked = self.file.set_len(0).and_then(|()| self.file.write_at(mark, 0));
        marked
            .and_then(|()| self.file.sync())
            .map_err(at(&self.layout.lock()))
    }

    /// Whether the mark still stands.
    pub(crate) fn check(&self, ports: &Ports) -> std::io::Result<Standing> {
        let found = ports.disk.read(&self.layout.lock(), FILE_BYTES_MAX)?;
        Ok(match found {
            Some(found) if found == self.token.as_bytes() => Standing::Ours,
            Some(_) | None => Standing::Lost,
        })
    }
}

/// Whether the directory is still ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// Another writer has left its mark, or ours is gone.
    Lost,
    /// Our mark stands.
    Ours,
}

/// Device and number of the lock file, as text: numbers of 64 bits are not safe in JSON.
type Place = (String, String);

fn write(instance: &str, (device, inode): &Place) -> Vec<u8> {
    object(|out| {
        out.string("device", device);
        out.string("inode", inode);
        out.string("instance", instance);
        out.integer("v", 1);
    })
}

/// What an instance file says. One that cannot be read is like none: the directory gets a new name.
fn read(bytes: Vec<u8>) -> Option<(String, Place)> {
    let document = Document::parse(bytes, Keys::Exact, &wire::bounds::CREDENTIAL).ok()?;
    let text = |key| document.root().get(key).and_then(Node::as_str).map(String::from);
    Some((text("instance")?, (text("device")?, text("inode")?)))
}
