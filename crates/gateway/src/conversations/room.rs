//! Room for what is kept for clients that are away: calls that wait for them, and what servers ask them. Few messages may
//! be huge ones, so it is counted in bytes: of one owner, so that nobody takes the room of all, and of all.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use pipeline::{Objection, refusal};

/// Bytes kept for one owner, who may have four calls of the longest sort with a question each, and for all.
const OF_ONE_BYTES_MAX: usize = 96 * 1024 * 1024;
const OF_ALL_BYTES_MAX: usize = 512 * 1024 * 1024;

/// See the module. Clones are the same room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Room(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    of: HashMap<Arc<str>, usize>,
}

/// The room that one owner may have.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    room: Room,
    owner: Arc<str>,
}

/// Room that is taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    share: Share,
    bytes: usize,
}

impl Room {
    pub(crate) fn of(&self, owner: &str) -> Share {
        Share {
            room: self.clone(),
            owner: owner.into(),
        }
    }

    /// Bytes that are taken in all.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.lock().all
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    pub(crate) fn is_of_the_owner_of(&self, other: &Self) -> bool {
        self.owner == other.owner
    }

    /// Takes room for so many bytes.
    pub(crate) fn take(&self, bytes: usize) -> Result<Held, Objection> {
        let mut taken = self.room.lock();
        let own = taken.of.get(&self.owner).copied().unwrap_or_default();
        let (own, all) = (own.saturating_add(bytes), taken.all.saturating_add(bytes));
        if own > OF_ONE_BYTES_MAX || all > OF_ALL_BYTES_MAX {
            let why = "too much waits for the client already";
            return Err(Objection::new(&refusal::OVER_LIMIT, why).showing(why));
        }
        taken.all = all;
        taken.of.insert(Arc::clone(&self.owner), own);
        Ok(Held {
            share: self.clone(),
            bytes,
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut taken = self.share.room.lock();
        taken.all = taken.all.saturating_sub(self.bytes);
        let own = taken.of.get_mut(&self.share.owner).map(|own| {
            *own = own.saturating_sub(self.bytes);
            *own
        });
        if own == Some(0) {
            taken.of.remove(&self.share.owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_of_ones_own_and_of_all_and_given_back() {
        let room = Room::default();
        let (ann, ben) = (room.of("ann"), room.of("ben"));
        let most = ann.take(OF_ONE_BYTES_MAX).unwrap();
        assert_eq!(ann.take(1).unwrap_err().code.name, refusal::OVER_LIMIT.name);
        assert!(ben.take(1).is_ok(), "another has room");
        drop(most);
        assert!(room.lock().of.is_empty() && room.lock().all == 0);
        let owners = (0..OF_ALL_BYTES_MAX / OF_ONE_BYTES_MAX).map(|n| room.of(&n.to_string()));
        let all: Vec<Held> = owners.map(|one| one.take(OF_ONE_BYTES_MAX).unwrap()).collect();
        assert!(
            ann.take(OF_ALL_BYTES_MAX % OF_ONE_BYTES_MAX + 1).is_err(),
            "there is no more in all"
        );
        drop(all);
        assert!(ann.take(OF_ONE_BYTES_MAX).is_ok());
    }
}
