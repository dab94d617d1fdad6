//! Answers of identity providers that came back here. Each has a provider asked once, whatever becomes of it: whoever brings
//! one again and again has nobody ask for him.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use super::TRANSACTION_MS;
use crate::outside::addresses::network;

/// Most that are remembered: of one network, and of all. Where there are more, nobody comes in until some are over.
const OF_NETWORK: usize = 256;
const OF_ALL: usize = 16_384;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Answers(Mutex<HashMap<String, (IpAddr, i64)>>);

/// Why nobody is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NotAsked {
    /// This one came before.
    Again,
    /// Too many came.
    Crowded,
}

impl NotAsked {
    /// For the person.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Again => "this answer came before; go back to the program and begin again",
            Self::Crowded => "too many people come back at once; wait a little, then begin again",
        }
    }
}

impl Answers {
    /// An answer came from there; a state of ours names it, and is good no longer than a transaction.
    pub(crate) fn take(&self, state: &str, from: IpAddr, now_ms: i64) -> Result<(), NotAsked> {
        let from = network(from);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains_key(state) {
            return Err(NotAsked::Again);
        }
        let of_network = |known: &HashMap<String, (IpAddr, i64)>| {
            known.values().filter(|(network, _)| *network == from).count()
        };
        if known.len() >= OF_ALL || of_network(&known) >= OF_NETWORK {
            known.retain(|_, (_, until_ms)| now_ms < *until_ms);
        }
        if known.len() >= OF_ALL || of_network(&known) >= OF_NETWORK {
            return Err(NotAsked::Crowded);
        }
        known.insert(state.to_owned(), (from, now_ms.saturating_add(TRANSACTION_MS)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::{Answers, NotAsked, OF_NETWORK, TRANSACTION_MS};

    #[test]
    fn a_state_is_taken_once_and_one_network_keeps_nobody_out() {
        let answers = Answers::default();
        let [one, other] = [1, 2].map(|n| IpAddr::V4(Ipv4Addr::new(192, 0, 2, n)));
        assert_eq!(answers.take("a", one, 0), Ok(()));
        assert_eq!(answers.take("a", one, 0), Err(NotAsked::Again));
        assert_eq!(answers.take("a", other, 1), Err(NotAsked::Again));
        for n in 1..OF_NETWORK {
            assert_eq!(answers.take(&n.to_string(), one, 0), Ok(()));
        }
        assert_eq!(answers.take("b", one, 0), Err(NotAsked::Crowded));
        assert_eq!(answers.take("b", other, 0), Ok(()));
        assert_eq!(answers.take("c", one, TRANSACTION_MS), Ok(()), "those are over");
    }
}
