//! Seats: what a browser's cookie, an API token or a link stands for. In memory alone: a restart empties them all.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use super::Operator;
use crate::ambient::Ambient;

/// Most seats at a time: of all, and of one user. Who takes more leaves the one that was used longest ago.
const SEATS_MAX: usize = 1_000;
const OF_USER_MAX: usize = 16;

/// What a secret is shown at. One for a door opens no other.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Door {
    /// A link, once.
    Link,
    /// A browser's cookie.
    Cookie,
    /// An API token.
    Token,
}

impl Door {
    /// After how long without use a seat is empty, in milliseconds.
    const fn idle_ms(self) -> i64 {
        match self {
            Self::Cookie => 30 * 60 * 1000,
            Self::Link | Self::Token => i64::MAX,
        }
    }
}

#[derive(Clone, Debug)]
struct Seat {
    operator: Operator,
    /// What the forms of its pages carry.
    form: String,
    until_ms: i64,
    used_ms: i64,
}

/// Whether somebody does something at a seat.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Use {
    Yes,
    /// A page loads itself again.
    No,
}

/// Whom a secret stands for.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) operator: Operator,
    pub(crate) form: String,
}

/// Everybody who was let in, by the digest of what they show.
#[derive(Debug, Default)]
pub(crate) struct Seats(Mutex<HashMap<(Door, [u8; 32]), Seat>>);

impl Seats {
    /// Lets somebody in for a while. None when there is no room.
    pub(crate) fn give(
        &self,
        ambient: &Ambient,
        door: Door,
        operator: Operator,
        for_ms: i64,
    ) -> Option<String> {
        let (secret, now_ms) = (ambient.secret(), ambient.now_ms());
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seats.retain(|(door, _), seat| is_taken(*door, seat, now_ms));
        let own = seats
            .iter()
            .filter(|(_, seat)| seat.operator.user == operator.user && operator.user.is_some());
        if own.clone().count() >= OF_USER_MAX {
            let oldest = own.min_by_key(|(_, seat)| seat.used_ms).map(|(key, _)| *key);
            oldest.and_then(|key| seats.remove(&key));
        }
        if seats.len() >= SEATS_MAX {
            return None;
        }
        let seat = Seat {
            operator,
            form: ambient.secret(),
            until_ms: now_ms.saturating_add(for_ms),
            used_ms: now_ms,
        };
        seats.insert((door, identity::sha256(secret.as_bytes())), seat);
        Some(secret)
    }

    /// Whom a secret stands for. A link is used up by it.
    pub(crate) fn find(&self, door: Door, secret: &str, used: Use, now_ms: i64) -> Option<Kept> {
        let key = (door, identity::sha256(secret.as_bytes()));
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seat = seats.get_mut(&key)?;
        if !is_taken(door, seat, now_ms) {
            seats.remove(&key);
            return None;
        }
        if used == Use::Yes {
            seat.used_ms = now_ms;
        }
        let kept = Kept {
            operator: seat.operator.clone(),
            form: seat.form.clone(),
        };
        if door == Door::Link {
            seats.remove(&key);
        }
        Some(kept)
    }

    /// Empties a seat.
    pub(crate) fn leave(&self, door: Door, secret: &str) {
        let key = (door, identity::sha256(secret.as_bytes()));
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seats.remove(&key);
    }
}

fn is_taken(door: Door, seat: &Seat, now_ms: i64) -> bool {
    now_ms < seat.until_ms && now_ms.saturating_sub(seat.used_ms) < door.idle_ms()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::console::Right;

    fn anybody() -> Operator {
        Operator {
            user: None,
            right: Right::See,
            login: None,
        }
    }

    #[test]
    fn a_secret_opens_its_own_door_until_its_time_and_a_link_once() {
        let (seats, ambient) = (Seats::default(), Ambient::system());
        let now_ms = ambient.now_ms();
        let give = |door| seats.give(&ambient, door, anybody(), 3_600_000).expect("room");
        let (link, cookie, token) = (give(Door::Link), give(Door::Cookie), give(Door::Token));
        assert!(
            seats.find(Door::Token, &cookie, Use::Yes, now_ms).is_none(),
            "another door"
        );
        assert!(
            seats.find(Door::Cookie, &link, Use::Yes, now_ms).is_none(),
            "another door"
        );
        assert!(seats.find(Door::Link, &link, Use::Yes, now_ms).is_some());
        assert!(
            seats.find(Door::Link, &link, Use::Yes, now_ms).is_none(),
            "a link is used once"
        );
        // Half an hour without use, and an hour at most.
        assert!(
            seats
                .find(Door::Cookie, &cookie, Use::Yes, now_ms + 29 * 60_000)
                .is_some()
        );
        assert!(
            seats
                .find(Door::Cookie, &cookie, Use::Yes, now_ms + 58 * 60_000)
                .is_some()
        );
        assert!(
            seats
                .find(Door::Cookie, &cookie, Use::Yes, now_ms + 61 * 60_000)
                .is_none()
        );
        assert!(
            seats
                .find(Door::Token, &token, Use::Yes, now_ms + 59 * 60_000)
                .is_some()
        );
        assert!(
            seats
                .find(Door::Token, &token, Use::Yes, now_ms + 61 * 60_000)
                .is_none()
        );
        // A page that loads itself again keeps nobody in.
        let watched = give(Door::Cookie);
        assert!(
            seats
                .find(Door::Cookie, &watched, Use::No, now_ms + 29 * 60_000)
                .is_some()
        );
        assert!(
            seats
                .find(Door::Cookie, &watched, Use::No, now_ms + 31 * 60_000)
                .is_none()
        );
        let (left, idle) = (give(Door::Cookie), give(Door::Cookie));
        seats.leave(Door::Cookie, &left);
        assert!(seats.find(Door::Cookie, &left, Use::Yes, now_ms).is_none());
        assert!(
            seats
                .find(Door::Cookie, &idle, Use::Yes, now_ms + 31 * 60_000)
                .is_none(),
            "idle"
        );
    }

    /// One user who comes in again and again keeps nobody else out.
    #[test]
    fn one_user_has_so_many_seats_and_leaves_the_oldest() {
        let (seats, ambient) = (Seats::default(), Ambient::system());
        let of = |user: &str| Operator {
            user: Some(user.to_owned()),
            ..anybody()
        };
        let now_ms = ambient.now_ms();
        let first = seats
            .give(&ambient, Door::Cookie, of("alice"), 60_000)
            .expect("room");
        seats
            .find(Door::Cookie, &first, Use::Yes, now_ms - 1_000)
            .expect("it is taken");
        let other = seats
            .give(&ambient, Door::Cookie, of("bob"), 60_000)
            .expect("room");
        for _ in 0..SEATS_MAX * 2 {
            assert!(seats.give(&ambient, Door::Token, of("alice"), 60_000).is_some());
        }
        assert!(seats.find(Door::Cookie, &first, Use::Yes, now_ms).is_none());
        assert!(seats.find(Door::Cookie, &other, Use::Yes, now_ms).is_some());
        assert!(seats.give(&ambient, Door::Cookie, of("bob"), 60_000).is_some());
    }

    #[test]
    fn there_is_room_for_so_many() {
        let (seats, ambient) = (Seats::default(), Ambient::system());
        for _ in 0..SEATS_MAX {
            assert!(seats.give(&ambient, Door::Link, anybody(), 60_000).is_some());
        }
        assert!(seats.give(&ambient, Door::Link, anybody(), 60_000).is_none());
    }
}
