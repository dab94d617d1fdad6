//! Whose a record is, and the data key that seals it.

use std::{collections::HashMap, fmt};

use super::{
    StateError,
    counted::{Found, Place, place as row_place},
    sql::{Sql, Value},
};
use crate::{
    ambient::{Clock, Random},
    digest::{Digester, Sha256, from_hex, hex},
    keys::{
        KeyRing, SealError, Secret, Use,
        seal::{SEALED_MORE, open, seal},
    },
};

/// Whose a record is. All records of one owner become unreadable together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Owner<'o> {
    /// The installation itself.
    Platform,
    /// A person in a tenant.
    Subject {
        /// The tenant; empty where there is but one.
        tenant: &'o str,
        /// The person, by whatever the tenant calls people.
        subject: &'o str,
    },
    /// A tenant.
    Tenant(&'o str),
}

/// A moment in the order in which data keys were made and destroyed, by all processes and replicas: no clock's.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Moment(i64);

/// What stands for an owner in the tables and in the ledger: nobody can try names against it without the key of the
/// index, and who has it can destroy the owner's data without knowing who it was.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Tag(Sha256);

impl Tag {
    /// One that [`Display`](fmt::Display) wrote.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let bytes = from_hex(text)?;
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// Bytes of a data key.
const KEY_BYTES: usize = 32;

/// Data keys held in memory.
const CACHED_MAX: usize = 1_024;

/// The wrapping keys, the key of the blind index, and the data keys in use.
#[derive(Debug)]
pub(super) struct DataKeys {
    wrapping: HashMap<String, Secret>,
    current: String,
    index: Digester,
    cached: HashMap<i64, Secret>,
    pub(super) clock: Clock,
    pub(super) random: Random,
}

impl DataKeys {
    /// The keys of a database, from the ring it belongs to. A new database gets the key of its index, unless it was
    /// `begun` before.
    pub(super) fn of(
        sql: &mut dyn Sql,
        (ring, begun): (&KeyRing, bool),
        clock: Clock,
        random: Random,
    ) -> Result<(Self, Found), StateError> {
        let (wrapping, current) = wrapping_keys(ring)?;
        let wrap = |id: &str| {
            wrapping
                .get(id)
                .ok_or_else(|| StateError::MissingKey(id.to_owned()))
        };
        let stored = meta(sql, "index_key")?.zip(meta(sql, "index_key_by")?);
        let (index, found) = match stored {
            Some((sealed, by)) => {
                let by = String::from_utf8_lossy(&by).into_owned();
                let key = wrap(&by)?;
                match open(key, INDEX_PLACE, &sealed) {
                    Ok(index) => (index, Found::Held),
                    Err(_) => {
                        let index = open(key, INDEX_PLACE_UNHELD, &sealed)
                            .map_err(|error| StateError::sealed(error, "meta", "index_key"))?;
                        store_index(sql, key, &by, &index, &random)?;
                        (index, Found::Unheld)
                    }
                }
            }
            None if begun => return Err(StateError::Gone(String::new())),
            None => {
                let index = Secret::new(random.array::<KEY_BYTES>()?.to_vec());
                store_index(sql, wrap(&current)?, &current, &index, &random)?;
                (index, Found::Unheld)
            }
        };
        let keys = Self {
            index: Digester::new(&index),
            wrapping,
            current,
            cached: HashMap::new(),
            clock,
            random,
        };
        Ok((keys, found))
    }

    /// The data key of an owner, made if there is none.
    pub(super) fn for_owner(
        &mut self,
        sql: &mut dyn Sql,
        owner: Owner<'_>,
    ) -> Result<(i64, Secret), StateError> {
        let owner = self.blind(owner);
        if let Some(id) = living(sql, &owner)? {
            return Ok((id, self.by_id(sql, id)?));
        }
        // Another process may have changed the wrapping key and destroyed the one known here: what it wrapped
        // would be lost.
        let by = meta(sql, "index_key_by")?.unwrap_or_default();
        if by != self.current.as_bytes() {
            return Err(StateError::MissingKey(String::from_utf8_lossy(&by).into_owned()));
        }
        let key = Secret::new(self.random.array::<KEY_BYTES>()?.to_vec());
        let now_ms = i64::try_from(self.clock.unix_ms()).unwrap_or(i64::MAX);
        let insert = "INSERT INTO data_key (owner, created_ms) VALUES (?1, ?2) RETURNING id";
        let made = sql.first(insert, &[owner.as_slice().into(), now_ms.into()])?;
        let id = made.ok_or(StateError::Column)?.integer()?;
        self.wrap(sql, id, &owner, &key)?;
        self.remember(id, &key);
        Ok((id, key))
    }

    /// A data key that is not destroyed.
    pub(super) fn by_id(&mut self, sql: &mut dyn Sql, id: i64) -> Result<Secret, StateError> {
        if let Some(key) = self.cached.get(&id) {
            return Ok(key.clone());
        }
        let key = self.unwrap(sql, id)?;
        self.remember(id, &key);
        Ok(key)
    }

    /// Takes over the wrapping keys of a ring.
    pub(super) fn adopt(&mut self, ring: &KeyRing) -> Result<(), StateError> {
        (self.wrapping, self.current) = wrapping_keys(ring)?;
        Ok(())
    }

    /// Seals with a key of its own, and that with the data key of each owner in turn: without any one of them
    /// it does not open. Nothing when one of them was erased since that moment.
    pub(super) fn seal_for(
        &mut self,
        sql: &mut dyn Sql,
        owners: &[Owner<'_>],
        since: Moment,
        place: &str,
        plain: &[u8],
    ) -> Result<Option<Vec<u8>>, StateError> {
        for owner in owners {
            // Their key was destroyed, or would have been: a new one must not keep what the old one had.
            if self.is_destroyed_since(sql, *owner, since)? {
                return Ok(None);
            }
        }
        let count = u8::try_from(owners.len()).ok().filter(|count| *count > 0);
        let count = count.ok_or(StateError::TooLong("owners", usize::from(u8::MAX)))?;
        let broken = |error| StateError::sealed(error, "payload", place);
        let mut head = vec![count];
        let mut keys = Vec::with_capacity(owners.len());
        for owner in owners {
            let (id, key) = self.for_owner(sql, *owner)?;
            head.extend(id.to_be_bytes());
            keys.push(key);
        }
        let bound = joint_place(place, &head);
        let own = Secret::new(self.random.array::<KEY_BYTES>()?.to_vec());
        let body = seal(&own, &bound, plain, &self.random).map_err(broken)?;
        let mut wrapped = own.expose().to_vec();
        for key in keys {
            wrapped = seal(&key, &bound, &wrapped, &self.random).map_err(broken)?;
        }
        Ok(Some([head, wrapped, body].concat()))
    }

    /// Opens it again; nothing when one of the data keys was destroyed.
    pub(super) fn open_for(
        &mut self,
        sql: &mut dyn Sql,
        place: &str,
        sealed: &[u8],
    ) -> Result<Option<Secret>, StateError> {
        let broken = |error| StateError::sealed(error, "payload", place);
        let altered = || broken(SealError::Broken);
        let count = usize::from(*sealed.first().ok_or_else(altered)?);
        let (head, rest) = sealed
            .split_at_checked(1 + count * size_of::<i64>())
            .ok_or_else(altered)?;
        let (ids, _) = head
            .get(1..)
            .unwrap_or_default()
            .as_chunks::<{ size_of::<i64>() }>();
        let (wrapped, body) = rest
            .split_at_checked(KEY_BYTES + count * SEALED_MORE)
            .ok_or_else(altered)?;
        let bound = joint_place(place, head);
        let mut own = Secret::new(wrapped.to_vec());
        for id in ids.iter().rev().map(|id| i64::from_be_bytes(*id)) {
            if is_destroyed(sql, id)? {
                return Ok(None);
            }
            let key = self.by_id(sql, id)?;
            own = open(&key, &bound, own.expose()).map_err(broken)?;
        }
        open(&own, &bound, body).map(Some).map_err(broken)
    }

    /// Destroys the data key of an owner and deletes what it sealed. Gives how many records that were. That it
    /// happened stays, whether or not there was a key: what was under way then must not make one.
    pub(super) fn destroy(&mut self, sql: &mut dyn Sql, owner: Tag) -> Result<usize, StateError> {
        let Tag(owner) = owner;
        let now_ms = i64::try_from(self.clock.unix_ms()).unwrap_or(i64::MAX);
        let mut deleted = 0;
        if let Some(id) = living(sql, &owner)? {
            self.cached.remove(&id);
            deleted = sql.execute("DELETE FROM record WHERE data_key = ?1", &[id.into()])?;
            let end =
                "UPDATE data_key SET wrapped_by = NULL, wrapped = NULL, destroyed_ms = ?2 WHERE id = ?1";
            sql.execute(end, &[id.into(), now_ms.into()])?;
        }
        let ended = "INSERT INTO data_key (owner, created_ms, destroyed_ms) VALUES (?1, ?2, ?2)";
        sql.execute(ended, &[owner.as_slice().into(), now_ms.into()])?;
        Ok(deleted)
    }

    /// Now, in the order of data keys.
    pub(super) fn moment(sql: &mut dyn Sql) -> Result<Moment, StateError> {
        let found = sql.first("SELECT coalesce(max(id), 0) FROM data_key", &[])?;
        found.ok_or(StateError::Column)?.integer().map(Moment)
    }

    fn is_destroyed_since(
        &self,
        sql: &mut dyn Sql,
        owner: Owner<'_>,
        Moment(since): Moment,
    ) -> Result<bool, StateError> {
        let Tag(owner) = self.tag(owner);
        let find =
            "SELECT id FROM data_key WHERE id > ?1 AND owner = ?2 AND destroyed_ms IS NOT NULL LIMIT 1";
        let found = sql.first(find, &[since.into(), owner.as_slice().into()])?;
        Ok(found.is_some())
    }

    /// Forgets what a transaction made that was not committed.
    pub(super) fn forget(&mut self) {
        self.cached.clear();
    }

    /// Wraps every data key with the ring's current wrapping key.
    pub(super) fn rewrap(&mut self, sql: &mut dyn Sql, ring: &KeyRing) -> Result<usize, StateError> {
        self.adopt(ring)?;
        let others = "SELECT id, owner FROM data_key WHERE destroyed_ms IS NULL AND wrapped_by <> ?1";
        let rows = sql.query(others, &[self.current.as_str().into()])?;
        let each = rows
            .into_iter()
            .map(|mut row| Ok((row.integer()?, blind_of(row.bytes()?)?)));
        let old: Vec<(i64, Sha256)> = each.collect::<Result<_, StateError>>()?;
        for (id, owner) in &old {
            let key = self.unwrap(sql, *id)?;
            self.wrap(sql, *id, owner, &key)?;
        }
        let index = meta(sql, "index_key")?.zip(meta(sql, "index_key_by")?);
        if let Some((sealed, by)) = index.filter(|(_, by)| *by != self.current.as_bytes()) {
            let by = String::from_utf8_lossy(&by).into_owned();
            let index = open(self.wrapping_key(&by)?, INDEX_PLACE, &sealed)
                .map_err(|error| StateError::sealed(error, "meta", "index_key"))?;
            let current = self.wrapping_key(&self.current)?;
            store_index(sql, current, &self.current, &index, &self.random)?;
        }
        Ok(old.len())
    }

    fn unwrap(&self, sql: &mut dyn Sql, id: i64) -> Result<Secret, StateError> {
        let find = "SELECT owner, wrapped_by, wrapped FROM data_key WHERE id = ?1 AND destroyed_ms IS NULL";
        let row = sql.first(find, &[id.into()])?;
        let altered = || StateError::Altered {
            table: "data_key".to_owned(),
            key: id.to_string(),
        };
        let mut row = row.ok_or_else(altered)?;
        let (owner, by, wrapped) = (blind_of(row.bytes()?)?, row.text()?, row.bytes()?);
        open(self.wrapping_key(&by)?, &place(id, &owner), &wrapped).map_err(|_| altered())
    }

    fn wrap(&self, sql: &mut dyn Sql, id: i64, owner: &Sha256, key: &Secret) -> Result<(), StateError> {
        let wrapped = seal(
            self.wrapping_key(&self.current)?,
            &place(id, owner),
            key.expose(),
            &self.random,
        )
        .map_err(|error| StateError::sealed(error, "data_key", &id.to_string()))?;
        let put = "UPDATE data_key SET wrapped_by = ?2, wrapped = ?3 WHERE id = ?1";
        sql.execute(put, &[id.into(), self.current.as_str().into(), wrapped.into()])?;
        Ok(())
    }

    fn wrapping_key(&self, id: &str) -> Result<&Secret, StateError> {
        self.wrapping
            .get(id)
            .ok_or_else(|| StateError::MissingKey(id.to_owned()))
    }

    /// The key of the index.
    pub(super) fn index(&self) -> &Digester {
        &self.index
    }

    /// The rows that go with the data key of an owner.
    pub(super) fn rows_of(sql: &mut dyn Sql, Tag(owner): Tag) -> Result<Vec<Place>, StateError> {
        let Some(id) = living(sql, &owner)? else {
            return Ok(Vec::new());
        };
        let find = "SELECT tbl, key, version FROM record WHERE data_key = ?1";
        sql.query(find, &[id.into()])?
            .into_iter()
            .map(row_place)
            .collect()
    }

    /// What stands for an owner.
    pub(super) fn tag(&self, owner: Owner<'_>) -> Tag {
        Tag(self.blind(owner))
    }

    fn blind(&self, owner: Owner<'_>) -> Sha256 {
        let length = |text: &str| u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes();
        match owner {
            Owner::Platform => self.index.tag(&[b"platform"]),
            Owner::Tenant(tenant) => self.index.tag(&[b"tenant", tenant.as_bytes()]),
            Owner::Subject { tenant, subject } => {
                let parts: [&[u8]; 4] = [b"subject", &length(tenant), tenant.as_bytes(), subject.as_bytes()];
                self.index.tag(&parts)
            }
        }
    }

    fn remember(&mut self, id: i64, key: &Secret) {
        if self.cached.len() >= CACHED_MAX {
            self.cached.clear();
        }
        self.cached.insert(id, key.clone());
    }
}

/// What the index key is bound to, in tables whose rows are held.
///
/// INVARIANT (index places): see `counted`.
const INDEX_PLACE: &[u8] = b"sallyport-index-key/2";
/// The same in tables of older programs.
const INDEX_PLACE_UNHELD: &[u8] = b"sallyport-index-key/1";

/// What is sealed for several owners is bound to.
fn joint_place(place: &str, head: &[u8]) -> Vec<u8> {
    [b"sallyport-joint/1".as_slice(), head, place.as_bytes()].concat()
}

fn is_destroyed(sql: &mut dyn Sql, id: i64) -> Result<bool, StateError> {
    let found = sql.first("SELECT destroyed_ms FROM data_key WHERE id = ?1", &[id.into()])?;
    let destroyed_ms = found.map(|mut row| row.maybe_integer()).transpose()?;
    Ok(destroyed_ms.flatten().is_some())
}

/// The blind index of an owner, as it was stored.
fn blind_of(bytes: Vec<u8>) -> Result<Sha256, StateError> {
    bytes.try_into().map_err(|_| StateError::Column)
}

fn place(id: i64, owner: &Sha256) -> Vec<u8> {
    [b"sallyport-data-key/1".as_slice(), &id.to_be_bytes(), owner].concat()
}

fn wrapping_keys(ring: &KeyRing) -> Result<(HashMap<String, Secret>, String), StateError> {
    let wrapping = ring.keys().iter().filter(|key| key.purpose == Use::Wrap);
    let wrapping = wrapping.filter_map(|key| Some((key.id.clone(), key.secret.clone()?)));
    Ok((wrapping.collect(), ring.current(Use::Wrap)?.id.clone()))
}

fn living(sql: &mut dyn Sql, owner: &Sha256) -> Result<Option<i64>, StateError> {
    let find = "SELECT id FROM data_key WHERE owner = ?1 AND destroyed_ms IS NULL";
    let found = sql.first(find, &[owner.as_slice().into()])?;
    found.map(|mut row| row.integer()).transpose()
}

fn meta(sql: &mut dyn Sql, name: &str) -> Result<Option<Vec<u8>>, StateError> {
    let found = sql.first("SELECT value FROM meta WHERE name = ?1", &[name.into()])?;
    found.map(|mut row| row.bytes()).transpose()
}

fn store_index(
    sql: &mut dyn Sql,
    wrap: &Secret,
    by: &str,
    index: &Secret,
    random: &Random,
) -> Result<(), StateError> {
    let sealed = seal(wrap, INDEX_PLACE, index.expose(), random)
        .map_err(|error| StateError::sealed(error, "meta", "index_key"))?;
    let put = "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    for (name, value) in [
        ("index_key", Value::from(sealed)),
        ("index_key_by", by.as_bytes().into()),
    ] {
        sql.execute(put, &[name.into(), value])?;
    }
    Ok(())
}
