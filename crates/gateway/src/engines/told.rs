//! What a server was told in the place of pseudonyms. Whatever it says later is searched for it, so that who knows only
//! the pseudonyms goes on knowing only them.
//!
//! Kept is which pseudonyms were undone, for which caller and at which server. What each stands for is looked up where
//! pseudonyms are: what is erased there is known here no more, and whatever is in memory is let go, at each replica. For each
//! caller and server one list is in memory while there is room.
//!
//! INVARIANT (short reading): who reads a list keeps those waiting who add to it, so nobody waits for a table meanwhile.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
};

use inspect::Lasting;
use pipeline::{Objection, refusal};
use records::table::Owner;

use super::disguise::Disguise;
use crate::{
    ambient::Ambient,
    known::concerned::same,
    storage::store::{Store, StoreError, aside, lock_aside},
};

const TABLE: &str = "told";
/// The row that is another whenever somebody was erased.
const ERASED: &str = "erased";
/// Originals that one server can be told for one caller, and their bytes with those of their pseudonyms: what cannot be
/// looked for is not told.
const TOLD_MAX: usize = 128 * 1024;
const TOLD_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of all lists in memory; those used longest ago are read again when they are needed.
const LISTS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What a list and each of its values take besides their texts.
const LIST_BYTES: usize = 512;
const VALUE_BYTES: usize = 192;

/// Who is told nothing but pseudonyms, and by which server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Between<'b> {
    pub(crate) tenant: &'b str,
    pub(crate) caller: &'b str,
    pub(crate) server: &'b str,
}

/// A pseudonym, and the value it stands for as far as two are told apart.
#[derive(Debug)]
pub(crate) struct Name {
    same: String,
    pub(crate) name: String,
}

/// What one server was told for one caller.
#[derive(Debug, Default)]
pub(crate) struct List {
    values: Lasting<Name>,
    bytes: usize,
    /// What stood in the table when it was read: replicas write there, too.
    version: Version,
}

/// A list's own row, and that of erasures.
#[derive(Debug, Default, Eq, PartialEq)]
struct Version {
    own: Option<Vec<u8>>,
    erased: Option<Vec<u8>>,
}

/// See the module.
pub(crate) struct Told {
    store: Store,
    lists: Mutex<Lists>,
    /// Held while a list is read from the table or added to, so that none that is in use was read too early.
    changing: Mutex<()>,
    /// Nobody was ever told anything: the rule, where no rule reveals.
    is_empty: AtomicBool,
}

#[derive(Default)]
struct Lists {
    by_key: HashMap<String, Kept>,
    /// Of all of them.
    bytes: usize,
    uses: u64,
    /// The row of erasures that was looked at last.
    erased: Option<Vec<u8>>,
}

struct Kept {
    list: Shared,
    used: u64,
    /// Its bytes as they were counted.
    bytes: usize,
}

/// A list that calls read while others add to it.
pub(crate) type Shared = Arc<RwLock<List>>;

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Told")
    }
}

impl List {
    /// Where values stand in a text that the server was told, and the pseudonyms of them.
    ///
    /// `%40` and the like are read as well: addresses are written so, by the gateway itself where the server is a REST service.
    pub(crate) fn find(&self, text: &str) -> Vec<(Range<usize>, &Name)> {
        let mut found = self.values.find(text);
        if let Some((plain, places)) = unescaped(text) {
            let span = |span: Range<usize>| Some(*places.get(span.start)?..*places.get(span.end)?);
            let escaped = self.values.find(&plain).into_iter();
            let escaped = escaped.filter_map(|(at, name)| Some((span(at)?, name)));
            let known: Vec<_> = found.iter().map(|(span, _)| span.clone()).collect();
            found.extend(escaped.filter(|(span, _)| !known.contains(span)));
        }
        found
    }

    /// The pseudonym by which the caller knows this very value.
    pub(crate) fn name_of(&self, value: &str) -> Option<&str> {
        let known = self.values.get(value)?;
        (known.same == same(value)).then_some(known.name.as_str())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn add(&mut self, original: &str, name: &str) {
        self.bytes += bytes(original, name);
        let name = Name {
            same: same(original),
            name: name.to_owned(),
        };
        self.values.add(original, name);
    }
}

/// A text without percent-encoding, and where each of its bytes stands in the text; its end, too. None where nothing is encoded.
fn unescaped(text: &str) -> Option<(String, Vec<usize>)> {
    if !text.contains('%') {
        return None;
    }
    let (mut bytes, mut places) = (Vec::with_capacity(text.len()), Vec::with_capacity(text.len() + 1));
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        let digits = text.as_bytes().get(at + 1..at + 3).filter(|_| *byte == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        places.push(at);
        bytes.push(escaped.unwrap_or(*byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    places.push(text.len());
    // What is no UTF-8 then was no text before it was encoded: its ASCII is.
    let plain = match String::from_utf8(bytes) {
        Ok(plain) => plain,
        Err(error) => {
            let ascii = error.into_bytes().into_iter();
            ascii
                .map(|byte| if byte.is_ascii() { char::from(byte) } else { ' ' })
                .collect()
        }
    };
    (plain != text).then_some((plain, places))
}

fn bytes(original: &str, name: &str) -> usize {
    2 * (original.len() + name.len()) + VALUE_BYTES
}

impl Told {
    /// What a store knows.
    pub(crate) fn open(store: Store) -> Result<Self, StoreError> {
        let first = store.with(|state| state.list(TABLE, "", None))?;
        let is_empty = first.iter().all(|record| record.key == ERASED);
        Ok(Self {
            store,
            lists: Mutex::default(),
            changing: Mutex::default(),
            is_empty: AtomicBool::new(is_empty),
        })
    }

    /// What a server was told for a caller; none if that is nothing.
    pub(crate) fn of(&self, disguise: &Disguise, between: Between<'_>) -> Result<Option<Shared>, StoreError> {
        // Other replicas may tell something at any time.
        if self.is_empty.load(Ordering::Acquire) && self.store.server().is_none() {
            return Ok(None);
        }
        let list = self.list(disguise, between)?;
        let is_empty = read(&list).is_empty();
        Ok((!is_empty).then_some(list))
    }

    fn list(&self, disguise: &Disguise, between: Between<'_>) -> Result<Shared, StoreError> {
        let key = disguise.key_between([between.tenant, between.caller, between.server]);
        if let Some(list) = self.at_hand(&key)? {
            return Ok(list);
        }
        let _alone = lock_aside(&self.changing);
        self.read_in(disguise, between.tenant, key)
    }

    /// A list that is in memory and of now.
    fn at_hand(&self, key: &str) -> Result<Option<Shared>, StoreError> {
        let Some(list) = self.lock().used(key) else {
            return Ok(None);
        };
        let is_of_now = match self.store.server() {
            Some(_) => {
                let now = self.version(key)?;
                read(&list).version == now
            }
            None => true,
        };
        Ok(is_of_now.then_some(list))
    }

    fn version(&self, key: &str) -> Result<Version, StoreError> {
        let mut found = self.store.get_all(TABLE, &[key, ERASED])?;
        Ok(Version {
            own: found.remove(key),
            erased: found.remove(ERASED),
        })
    }

    /// A list, read from the table if need be. Whoever asks is alone.
    fn read_in(&self, disguise: &Disguise, tenant: &str, key: String) -> Result<Shared, StoreError> {
        if let Some(list) = self.at_hand(&key)? {
            return Ok(list);
        }
        // Before anything else: what changes meanwhile makes it one of before.
        let version = match self.store.server() {
            Some(_) => self.version(&key)?,
            None => Version::default(),
        };
        let mut list = List {
            version,
            bytes: LIST_BYTES,
            ..List::default()
        };
        let names = self.names(&key)?;
        let texts: Vec<&str> = names.iter().map(String::as_str).collect();
        for (name, found) in texts.iter().zip(disguise.uncover(tenant, &texts)?) {
            // Whoever is erased stands behind no pseudonym any more.
            for one in found.iter().filter(|one| one.span == (0..name.len())) {
                list.add(&one.original, name);
            }
        }
        let (bytes, erased) = (list.bytes, list.version.erased.clone());
        let list = Arc::new(RwLock::new(list));
        let mut lists = self.lock();
        // What was read around another replica's erasure is not kept: its row is looked at once.
        if self.store.server().is_none() || lists.erased == erased {
            lists.keep(key, Arc::clone(&list), bytes);
        }
        Ok(list)
    }

    fn names(&self, key: &str) -> Result<Vec<String>, StoreError> {
        let prefix = format!("{key}/");
        let (mut names, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = self
                .store
                .with(|state| state.list(TABLE, &prefix, after.as_deref()))?;
            let Some(last) = page.last() else { return Ok(names) };
            after = Some(last.key.clone());
            let texts = page.iter().map(|record| record.value.expose());
            names.extend(texts.filter_map(|text| String::from_utf8(text.to_vec()).ok()));
        }
    }

    /// A server is about to be told these originals, each in the place of its pseudonym. From now on they are looked for in
    /// whatever it says to this caller, over restarts and at each replica.
    pub(crate) fn tell(
        &self,
        disguise: &Disguise,
        between: Between<'_>,
        pairs: &[(String, String)],
    ) -> Result<(), Objection> {
        let unkept = |error: StoreError| {
            let why = format!("what a server is told cannot be kept: {error}");
            error.objection_or(&refusal::OBLIGATION_UNMET, why)
        };
        let key = disguise.key_between([between.tenant, between.caller, between.server]);
        let _alone = lock_aside(&self.changing);
        let list = self
            .read_in(disguise, between.tenant, key.clone())
            .map_err(unkept)?;
        let mut new: HashMap<&str, &str> = HashMap::new();
        let mut length = 0;
        {
            let known = read(&list);
            // Not by the pseudonym: of somebody who is erased it may have become another's.
            for (original, name) in pairs.iter().filter(|(original, _)| !known.values.holds(original)) {
                if new.insert(name, original).is_none() {
                    length += bytes(original, name);
                }
            }
            if known.values.len() + new.len() > TOLD_MAX || known.bytes + length > TOLD_BYTES_MAX {
                let why = "this server was told as much as can be disguised again in what it says";
                return Err(Objection::new(&refusal::OVER_LIMIT, why).showing(why));
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        let row = |name: &&str| {
            (
                format!("{key}/{}", disguise.key_between([name, "", ""])),
                name.as_bytes().to_vec(),
            )
        };
        let mut rows: Vec<(String, Vec<u8>)> = new.keys().map(row).collect();
        // Whoever has read the list before reads it again.
        let version = rows.first().map(|(key, _)| key.as_bytes().to_vec());
        if let (Some(_), Some(version)) = (self.store.server(), &version) {
            rows.push((key.clone(), version.clone()));
        }
        self.store
            .put_all(Owner::Platform, TABLE, &rows)
            .map_err(unkept)?;
        self.is_empty.store(false, Ordering::Release);
        let bytes = {
            let mut known = write(&list);
            for (name, original) in new {
                known.add(original, name);
            }
            known.bytes
        };
        self.lock().grew(&key, bytes);
        Ok(())
    }

    /// Somebody is erased: nothing in memory knows what their pseudonyms stood for, here or at other replicas.
    pub(crate) fn forget(&self, ambient: &Ambient) -> Result<(), StoreError> {
        // What is read meanwhile may be of before.
        let _alone = lock_aside(&self.changing);
        // Here even where the others cannot be told: whoever erases tries again.
        self.lock().let_go();
        let erased = ambient.bytes::<16>();
        self.store.put(TABLE, ERASED, &erased)?;
        self.lock().erased = Some(erased.to_vec());
        Ok(())
    }

    /// Lets go of what is in memory where another replica erased somebody.
    pub(crate) fn take_over(&self) -> Result<(), StoreError> {
        // Without `changing`: whoever reads a list in would wait for this as well.
        let erased = self.store.get(TABLE, ERASED)?;
        let mut lists = self.lock();
        if lists.erased != erased {
            lists.let_go();
            lists.erased = erased;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A list to read in.
pub(crate) fn read(list: &Shared) -> RwLockReadGuard<'_, List> {
    match list.try_read() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => aside(|| list.read().unwrap_or_else(PoisonError::into_inner)),
    }
}

/// A list to add to. Somebody may be looking for all of it in eight megabytes.
fn write(list: &Shared) -> RwLockWriteGuard<'_, List> {
    match list.try_write() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => aside(|| list.write().unwrap_or_else(PoisonError::into_inner)),
    }
}

impl Lists {
    fn used(&mut self, key: &str) -> Option<Shared> {
        self.uses += 1;
        let kept = self.by_key.get_mut(key)?;
        kept.used = self.uses;
        Some(Arc::clone(&kept.list))
    }

    fn let_go(&mut self) {
        self.by_key.clear();
        self.bytes = 0;
    }

    /// A list, if it is kept, has so many bytes now.
    fn grew(&mut self, key: &str, bytes: usize) {
        if let Some(kept) = self.by_key.get(key) {
            let list = Arc::clone(&kept.list);
            self.keep(key.to_owned(), list, bytes);
        }
    }

    /// Keeps a list of so many bytes. Those that were used longest ago give way, to half of the room: it is not looked for
    /// at each.
    fn keep(&mut self, key: String, list: Shared, bytes: usize) {
        let used = self.uses;
        let before = self.by_key.insert(key, Kept { list, used, bytes });
        self.bytes += bytes;
        self.bytes -= before.map_or(0, |before| before.bytes);
        if self.bytes <= LISTS_BYTES_MAX {
            return;
        }
        let mut each: Vec<(u64, usize)> = self.by_key.values().map(|kept| (kept.used, kept.bytes)).collect();
        each.sort_unstable();
        let mut from = 0;
        for (used, bytes) in each {
            if self.bytes <= LISTS_BYTES_MAX / 2 {
                break;
            }
            (self.bytes, from) = (self.bytes - bytes, used + 1);
        }
        self.by_key.retain(|_, kept| kept.used >= from);
    }
}

#[cfg(test)]
mod tests;
