//! Cursors: where a list goes on. A list is the caller's own, so its cursors are, too: one that somebody else was
//! given, or that was given for another list, is none.

use pipeline::{Endpoint, Entry};
use policy::Resource;

use crate::{ambient::Ambient, conversations::sealed::Seal};

/// See the module.
#[derive(Debug)]
pub(crate) struct Cursors(Seal);

/// Whose list, which, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List<'l> {
    pub(crate) owner: &'l str,
    pub(crate) endpoint: &'l Endpoint,
    /// `tools`, `prompts`, ...
    pub(crate) member: &'static str,
}

impl Cursors {
    /// None was given yet. None where no key can be made.
    pub(crate) fn new(ambient: &Ambient) -> Option<Self> {
        Seal::new(ambient).map(Self)
    }

    /// The cursor behind an entry.
    pub(crate) fn behind(&self, ambient: &Ambient, list: List<'_>, last: &Entry) -> String {
        self.0
            .seal(ambient, &list.bound(), key(&last.resource).as_bytes())
    }

    /// What follows a cursor. None if it was not given for this list, or what it stands behind is gone: the list is
    /// another one now, and whoever went on would miss something without knowing.
    pub(crate) fn rest(&self, list: List<'_>, cursor: &str, mut entries: Vec<Entry>) -> Option<Vec<Entry>> {
        let last = self.0.open(cursor, &list.bound())?;
        let at = entries
            .iter()
            .position(|entry| key(&entry.resource).as_bytes() == last)?;
        Some(entries.split_off(at.saturating_add(1)))
    }
}

impl List<'_> {
    fn bound(self) -> Vec<u8> {
        let endpoint = self.endpoint.name().map_or("", |name| name.as_str());
        format!("sallyport cursor 1\0{}\0{endpoint}\0{}", self.member, self.owner).into_bytes()
    }
}

/// What an entry is called, apart from others of its list.
fn key(resource: &Resource) -> String {
    let facts = resource.facts();
    facts.map_or_else(String::new, |facts| format!("{}\0{}", facts.server, facts.name))
}
