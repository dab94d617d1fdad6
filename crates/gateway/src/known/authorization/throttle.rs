//! Guessing is made slow, and nobody is locked out by it: whoever guesses at a name waits, at the address it is guessed
//! from; a name that is guessed at from everywhere waits at addresses its owner never came from.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use crate::outside::addresses::network;

/// Wrong attempts after which one waits: of a name at an address, of an address, of a name.
const OF_BOTH: u32 = 5;
const OF_ADDRESS: u32 = 50;
const OF_NAME: u32 = 50;
/// The longest wait, in seconds.
const WAIT_S_MAX: i64 = 60;
/// After this without a wrong attempt, in milliseconds, all is forgotten.
const QUIET_MS: i64 = 15 * 60 * 1000;
/// So many wrong attempts are forgotten when there is no room.
const FEW: u32 = 2;
/// Most of each that is remembered.
const COUNTS_MAX: usize = 20_000;

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Of {
    Both(String, IpAddr),
    Address(IpAddr),
    Name(String),
}

impl Of {
    fn free(&self) -> u32 {
        match self {
            Self::Both(..) => OF_BOTH,
            Self::Address(_) => OF_ADDRESS,
            Self::Name(_) => OF_NAME,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Count {
    wrong: u32,
    last_ms: i64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    wrong: HashMap<Of, Count>,
    /// Where somebody logged in.
    known: HashSet<(String, IpAddr)>,
}

impl Throttle {
    /// Whether somebody may try now; if not, in how many seconds.
    pub(crate) fn may_try(&self, name: &str, from: IpAddr, now_ms: i64) -> Result<(), i64> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = network(from);
        let is_known = counts.known.contains(&(name.to_owned(), from));
        let waits = places(name, from).map(|of| match counts.wrong.get(&of) {
            Some(_) if is_known && !matches!(of, Of::Both(..)) => 0,
            Some(count) => wait_s(&of, *count, now_ms),
            None => 0,
        });
        match waits.into_iter().max().unwrap_or(0) {
            0 => Ok(()),
            seconds => Err(seconds),
        }
    }

    /// Takes note of an attempt.
    pub(crate) fn note(&self, name: &str, from: IpAddr, right: bool, now_ms: i64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = network(from);
        if right {
            counts.wrong.remove(&Of::Both(name.to_owned(), from));
            if counts.known.len() >= COUNTS_MAX {
                counts.known.clear();
            }
            counts.known.insert((name.to_owned(), from));
            return;
        }
        if counts.wrong.len() >= COUNTS_MAX {
            counts.wrong.retain(|_, count| now_ms - count.last_ms < QUIET_MS);
        }
        // Names that were made up to fill this are guessed at once or twice.
        if counts.wrong.len() >= COUNTS_MAX {
            counts.wrong.retain(|_, count| count.wrong > FEW);
        }
        let has_room = counts.wrong.len() < COUNTS_MAX;
        for of in places(name, from) {
            if !has_room && !counts.wrong.contains_key(&of) {
                continue;
            }
            let count = counts.wrong.entry(of).or_insert(Count {
                wrong: 0,
                last_ms: now_ms,
            });
            if now_ms - count.last_ms >= QUIET_MS {
                count.wrong = 0;
            }
            count.wrong = count.wrong.saturating_add(1);
            count.last_ms = now_ms;
        }
    }
}

fn places(name: &str, from: IpAddr) -> [Of; 3] {
    [
        Of::Both(name.to_owned(), from),
        Of::Address(from),
        Of::Name(name.to_owned()),
    ]
}

/// One, two, four seconds and so on.
fn wait_s(of: &Of, count: Count, now_ms: i64) -> i64 {
    let Some(over) = count.wrong.checked_sub(of.free()) else {
        return 0;
    };
    let wait_s = 1_i64
        .checked_shl(over.min(6))
        .unwrap_or(WAIT_S_MAX)
        .min(WAIT_S_MAX);
    // Never longer than that, where the clock was set back since.
    let left_ms = (count.last_ms + wait_s * 1000 - now_ms).min(wait_s * 1000);
    if left_ms <= 0 { 0 } else { (left_ms + 999) / 1000 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn who_guesses_waits_longer_and_longer_and_others_do_not() {
        let throttle = Throttle::default();
        let (guesser, home) = (at("192.0.2.1"), at("198.51.100.1"));
        let mut now_ms = 0;
        for _ in 0..OF_BOTH {
            assert_eq!(throttle.may_try("alice", guesser, now_ms), Ok(()));
            throttle.note("alice", guesser, false, now_ms);
        }
        let mut waits = Vec::new();
        for _ in 0..8 {
            let wait = throttle.may_try("alice", guesser, now_ms).expect_err("waits");
            waits.push(wait);
            now_ms += wait * 1000;
            assert_eq!(throttle.may_try("alice", guesser, now_ms), Ok(()));
            throttle.note("alice", guesser, false, now_ms);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(throttle.may_try("alice", home, now_ms), Ok(()), "her own address");
        assert_eq!(
            throttle.may_try("bob", guesser, now_ms),
            Ok(()),
            "somebody else there"
        );
        // A right one ends it, and so does quiet.
        throttle.note("alice", guesser, true, now_ms);
        assert_eq!(throttle.may_try("alice", guesser, now_ms), Ok(()));
    }

    #[test]
    fn guessing_from_everywhere_locks_nobody_out_of_where_she_was_before() {
        let throttle = Throttle::default();
        let home = at("2001:db8:1:2::7");
        throttle.note("alice", home, true, 0);
        for n in 0..=OF_NAME {
            throttle.note("alice", at(&format!("192.0.2.{n}")), false, 0);
        }
        assert!(
            throttle.may_try("alice", at("203.0.113.9"), 0).is_err(),
            "a new address"
        );
        assert_eq!(throttle.may_try("alice", home, 0), Ok(()));
        assert_eq!(
            throttle.may_try("alice", at("2001:db8:1:2::8"), 0),
            Ok(()),
            "her network"
        );
        assert_eq!(
            throttle.may_try("alice", at("203.0.113.9"), WAIT_S_MAX * 1000),
            Ok(())
        );
        // One address that guesses at many names.
        for n in 0..=OF_ADDRESS {
            throttle.note(&format!("user{n}"), at("198.51.100.9"), false, 0);
        }
        assert!(throttle.may_try("carol", at("198.51.100.9"), 0).is_err());
    }
    #[test]
    fn a_clock_that_is_set_back_makes_nobody_wait_longer() {
        let throttle = Throttle::default();
        let guesser = at("192.0.2.1");
        for _ in 0..=OF_BOTH {
            throttle.note("alice", guesser, false, 7_200_000);
        }
        assert_eq!(throttle.may_try("alice", guesser, 7_200_000), Err(2));
        assert_eq!(throttle.may_try("alice", guesser, 0), Err(2), "two hours back");
    }
}
