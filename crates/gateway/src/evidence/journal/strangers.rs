//! How much of the ledger those may write who have proven nothing. What they bring about is recorded one by one as long as it
//! is little, and from then on counted: one entry a minute for each source and kind.
//!
//! INVARIANT (strangers): whatever strangers do, a minute has no more entries of theirs than [`ALONE_OF_ALL`] and one for
//! each of [`SOURCES_MAX`] sources and each kind.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::outside::addresses::network;

/// What is recorded one by one in a minute: of one source and kind, and of all.
const ALONE: u32 = 30;
const ALONE_OF_ALL: u32 = 600;
/// How many sources are told apart at a time; the others are one.
const SOURCES_MAX: usize = 256;
const MINUTE_MS: i64 = 60 * 1000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Strangers(Mutex<Minute>);

#[derive(Debug, Default)]
struct Minute {
    began_ms: i64,
    alone: u32,
    by: BTreeMap<(Option<IpAddr>, String), Burst>,
}

#[derive(Debug, Default)]
struct Burst {
    alone: u32,
    more: u64,
    last: String,
}

/// What becomes of one of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Told {
    /// It is recorded.
    Alone,
    /// It is counted.
    Counted,
}

/// What was counted in a minute of one source and kind.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Counted {
    pub(super) what: String,
    /// None for all that are not told apart.
    pub(super) from: Option<IpAddr>,
    pub(super) count: u64,
    /// Why the last of them was refused.
    pub(super) last: String,
}

impl Strangers {
    /// One more. Gives what becomes of it, and what the minute before has counted.
    pub(super) fn tell(
        &self,
        what: &str,
        from: Option<IpAddr>,
        why: &str,
        now_ms: i64,
    ) -> (Told, Vec<Counted>) {
        let mut minute = self.lock();
        let over = minute.turn(now_ms);
        let mut key = (from.map(network), what.to_owned());
        if !minute.by.contains_key(&key) && minute.by.len() >= SOURCES_MAX {
            key.0 = None;
        }
        let may = minute.alone < ALONE_OF_ALL;
        let burst = minute.by.entry(key).or_default();
        if may && burst.alone < ALONE {
            burst.alone += 1;
            minute.alone += 1;
            return (Told::Alone, over);
        }
        burst.more = burst.more.saturating_add(1);
        burst.last = why.chars().take(200).collect();
        (Told::Counted, over)
    }

    /// What was counted, if the minute is over.
    pub(super) fn settle(&self, now_ms: i64) -> Vec<Counted> {
        self.lock().turn(now_ms)
    }

    fn lock(&self) -> MutexGuard<'_, Minute> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Minute {
    fn turn(&mut self, now_ms: i64) -> Vec<Counted> {
        // Also where the clock was set back.
        if (0..MINUTE_MS).contains(&now_ms.saturating_sub(self.began_ms)) {
            return Vec::new();
        }
        let over = std::mem::replace(
            self,
            Self {
                began_ms: now_ms,
                ..Self::default()
            },
        );
        let counted = over.by.into_iter().filter(|(_, burst)| burst.more > 0);
        counted
            .map(|((from, what), burst)| Counted {
                what,
                from,
                count: burst.more,
                last: burst.last,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::{ALONE, ALONE_OF_ALL, MINUTE_MS, SOURCES_MAX, Strangers, Told};

    #[test]
    fn the_first_are_recorded_and_the_rest_counted_once_a_minute() {
        let strangers = Strangers::default();
        let from = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let tell = |what, now_ms| strangers.tell(what, from, "why", now_ms);
        for n in 0..200 {
            let (told, over) = tell("token-refused", 1_000_000);
            assert_eq!(told == Told::Alone, n < ALONE, "{n}");
            assert!(over.is_empty());
        }
        // Another kind is another matter.
        assert_eq!(tell("tls-refused", 1_000_000).0, Told::Alone);
        assert!(strangers.settle(1_000_000 + MINUTE_MS - 1).is_empty());
        let over = strangers.settle(1_000_000 + MINUTE_MS);
        assert_eq!(over.len(), 1, "{over:?}");
        assert_eq!((over[0].count, over[0].from), (u64::from(200 - ALONE), from));
        assert_eq!(over[0].what, "token-refused");
        assert!(strangers.settle(1_000_000 + MINUTE_MS).is_empty());
        assert_eq!(tell("token-refused", 1_000_000 + MINUTE_MS).0, Told::Alone);
    }

    /// However many come from wherever, what they write is bounded.
    #[test]
    fn many_sources_write_no_more() {
        let strangers = Strangers::default();
        let mut alone = 0;
        for n in 0..50_000_u16 {
            let from = Ipv6Addr::new(0x2001, 0xdb8, n, 0, 0, 0, 0, 1);
            let (told, _) = strangers.tell("token-refused", Some(IpAddr::V6(from)), "why", 5);
            alone += u32::from(told == Told::Alone);
        }
        assert!(alone <= ALONE_OF_ALL, "{alone}");
        let over = strangers.settle(5 + MINUTE_MS);
        assert!(over.len() <= SOURCES_MAX + 1, "{}", over.len());
        let counted: u64 = over.iter().map(|one| one.count).sum();
        assert_eq!(counted + u64::from(alone), 50_000);
    }
}
