//! What holds for all that a server says to a client while a call runs, and for a while after: the obligations
//! of the call, the labels of what it brings, and the originals it was told. Progress, log messages and questions come on their own, each
//! under its own rule, but say as much as the answer.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use pipeline::{Objection, ports::Hold, refusal};
use policy::{Labels, Obligation};

use crate::ambient::Ambient;

/// How long after the last call what held for it still holds.
const LINGER_MS: i64 = 60 * 1000;
/// Originals remembered for one caller and server, and their bytes with those of their pseudonyms.
const REVEALED_MAX: usize = 8 * 1024;
const REVEALED_BYTES_MAX: usize = 1024 * 1024;
/// Whose calls, with whichever model, to which server.
type Key = (String, String);

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms(Arc<Mutex<HashMap<Key, Kept>>>);

/// An original and the pseudonym the caller knows it by.
type Pair = (String, String);

/// What holds for one caller and server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Term {
    /// Of all calls that run.
    pub(crate) obligations: BTreeSet<Obligation>,
    /// In the order in which they were first told.
    pub(crate) revealed: Vec<Pair>,
    /// Of what they bring, besides those of all that the server says.
    pub(crate) labels: Option<Labels>,
    subjects: BTreeSet<Option<String>>,
}

/// The same as it is kept.
#[derive(Debug, Default)]
struct Kept {
    obligations: BTreeSet<Obligation>,
    labels: Option<Labels>,
    subjects: BTreeSet<Option<String>>,
    revealed: HashMap<Pair, Told>,
    revealed_bytes: usize,
    /// How many were ever told.
    told: u64,
    running: usize,
    quiet_since_ms: i64,
}

/// How an original stands.
#[derive(Debug)]
struct Told {
    number: u64,
    /// Calls that run and were told it.
    running: usize,
    quiet_since_ms: i64,
}

impl Term {
    /// The person the calls are about, if it is one.
    pub(crate) fn subject(&self) -> Option<&str> {
        match self.subjects.first() {
            Some(Some(only)) if self.subjects.len() == 1 => Some(only),
            _ => None,
        }
    }
}

impl Kept {
    fn is_over(&self, now_ms: i64) -> bool {
        self.running == 0 && now_ms - self.quiet_since_ms > LINGER_MS
    }

    /// Remembers what a call was told. Those that no call was told for a while give way to it, the oldest first; what is
    /// not remembered would come back to the caller as it is, and so is not told.
    fn tell(&mut self, revealed: &[&Pair], now_ms: i64) -> Result<(), Objection> {
        let new = || revealed.iter().filter(|pair| !self.revealed.contains_key(**pair));
        let (count, length) = new().fold((0, 0), |(count, sum), pair| (count + 1, sum + bytes(pair)));
        let fits = |kept: usize, kept_bytes: usize| {
            kept + count <= REVEALED_MAX && kept_bytes + length <= REVEALED_BYTES_MAX
        };
        let (mut kept, mut kept_bytes) = (self.revealed.len(), self.revealed_bytes);
        let mut going = Vec::new();
        if !fits(kept, kept_bytes) {
            let own: HashSet<&Pair> = revealed.iter().copied().collect();
            let is_old = |told: &Told| told.running == 0 && now_ms - told.quiet_since_ms > LINGER_MS;
            let old = self
                .revealed
                .iter()
                .filter(|(pair, told)| is_old(told) && !own.contains(pair));
            let mut old: Vec<(u64, &Pair)> = old.map(|(pair, told)| (told.number, pair)).collect();
            old.sort_unstable();
            for (_, pair) in old {
                if fits(kept, kept_bytes) {
                    break;
                }
                (kept, kept_bytes) = (kept - 1, kept_bytes - bytes(pair));
                going.push(pair.clone());
            }
        }
        // Nothing goes for a call that is refused.
        if !fits(kept, kept_bytes) {
            let why = "calls of a minute told this server as much as can be disguised again in what it says";
            return Err(Objection::new(&refusal::OVER_LIMIT, why).showing(why));
        }
        for pair in &going {
            self.revealed.remove(pair);
        }
        self.revealed_bytes = kept_bytes;
        for pair in revealed {
            let (told, sum) = (&mut self.told, &mut self.revealed_bytes);
            let entry = self.revealed.entry((*pair).clone()).or_insert_with(|| {
                (*told, *sum) = (*told + 1, *sum + bytes(pair));
                Told {
                    number: *told,
                    running: 0,
                    quiet_since_ms: now_ms,
                }
            });
            entry.running += 1;
        }
        Ok(())
    }
}

fn bytes((original, pseudonym): &Pair) -> usize {
    original.len() + pseudonym.len()
}

/// A call that runs.
struct Running {
    terms: Terms,
    key: Key,
    revealed: Vec<Pair>,
    ambient: Ambient,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Running")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let now_ms = self.ambient.steady_ms();
        if let Some(term) = self.terms.lock().get_mut(&self.key) {
            term.running = term.running.saturating_sub(1);
            term.quiet_since_ms = now_ms;
            for pair in &self.revealed {
                if let Some(told) = term.revealed.get_mut(pair) {
                    told.running = told.running.saturating_sub(1);
                    told.quiet_since_ms = now_ms;
                }
            }
        }
    }
}

impl Terms {
    /// From now on, until a while after the hold is dropped, this holds for what the server says to the caller.
    pub(crate) fn agree(
        &self,
        (caller, server): (&str, &str),
        (obligations, labels): (impl Iterator<Item = Obligation>, Option<&Labels>),
        revealed: &[Pair],
        subject: Option<String>,
        ambient: &Ambient,
    ) -> Result<Hold, Objection> {
        let key = (caller.to_owned(), server.to_owned());
        let now_ms = ambient.steady_ms();
        let mut terms = self.lock();
        let term = terms.entry(key.clone()).or_default();
        if term.is_over(now_ms) {
            *term = Kept::default();
        }
        let mut seen = HashSet::new();
        let revealed: Vec<&Pair> = revealed.iter().filter(|pair| seen.insert(*pair)).collect();
        term.tell(&revealed, now_ms)?;
        term.running += 1;
        term.obligations.extend(obligations);
        if let Some(labels) = labels {
            let known = term.labels.take().unwrap_or_else(Labels::none);
            term.labels = Some(known.join(labels));
        }
        term.subjects.insert(subject);
        Ok(Hold(Arc::new(Running {
            terms: self.clone(),
            key,
            revealed: revealed.into_iter().cloned().collect(),
            ambient: ambient.clone(),
        })))
    }

    /// What holds for what a server says to a caller. All times here are steady ones: with a clock that was set back, what
    /// was told would be kept, and stand in the way of more, until it has caught up.
    pub(crate) fn of(&self, caller: &str, server: &str, now_ms: i64) -> Term {
        let terms = self.lock();
        let found = terms.get(&(caller.to_owned(), server.to_owned()));
        let Some(kept) = found.filter(|term| !term.is_over(now_ms)) else {
            return Term::default();
        };
        let mut revealed: Vec<(u64, &Pair)> = kept
            .revealed
            .iter()
            .map(|(pair, told)| (told.number, pair))
            .collect();
        revealed.sort_unstable();
        Term {
            obligations: kept.obligations.clone(),
            labels: kept.labels.clone(),
            revealed: revealed.into_iter().map(|(_, pair)| pair.clone()).collect(),
            subjects: kept.subjects.clone(),
        }
    }

    /// Forgets what holds no longer.
    pub(crate) fn sweep(&self, now_ms: i64) {
        self.lock().retain(|_, term| !term.is_over(now_ms));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_outlast_the_call_for_a_while_and_concern_nobody_else() {
        let (terms, ambient) = (Terms::default(), Ambient::system());
        let hidden = Obligation::Mask(Arc::new(["personal".to_owned()].into()));
        let told = [("Ann".to_owned(), "P-1".to_owned())];
        let demands = [hidden.clone()].into_iter();
        let hold = terms.agree(
            ("ann", "mail"),
            (demands, None),
            &told,
            Some("p1".to_owned()),
            &ambient,
        );
        let hold = hold.unwrap();
        let far = ambient.steady_ms() + 100 * LINGER_MS;
        assert_eq!(terms.of("ann", "mail", far).revealed, told, "while it runs");
        drop(hold);
        let now = ambient.steady_ms();
        let held = terms.of("ann", "mail", now);
        assert!(held.obligations.contains(&hidden));
        assert_eq!(held.subject(), Some("p1"));
        assert!(terms.of("ann", "web", now).obligations.is_empty());
        assert!(terms.of("bob", "mail", now).revealed.is_empty());
        assert!(terms.of("ann", "mail", far).revealed.is_empty());
        terms.sweep(now);
        assert!(!terms.lock().is_empty());
        terms.sweep(far);
        assert!(terms.lock().is_empty(), "what is over is not kept");
    }

    /// Regression: of 1,024 originals of any length all were kept, and of more the first were forgotten while their call ran,
    /// so that what a server said of them came to the caller as it was.
    #[test]
    fn what_cannot_be_remembered_is_not_told_and_what_was_told_is_remembered() {
        let (terms, ambient) = (Terms::default(), Ambient::system());
        let tell = |values: &[Pair]| {
            terms.agree(
                ("ann", "mail"),
                (std::iter::empty(), None),
                values,
                None,
                &ambient,
            )
        };
        let pair = |n: usize, length: usize| (format!("{}{n}", "x".repeat(length)), format!("P-{n}"));
        let few: Vec<Pair> = (0..2_000).map(|n| pair(n, 20)).collect();
        let first = tell(&few).unwrap();
        // Few, but long.
        let long: Vec<Pair> = (0..30).map(|n| pair(n, 100_000)).collect();
        let refused = tell(&long).unwrap_err();
        assert_eq!(refused.code.name, refusal::OVER_LIMIT.name);
        let held = || terms.of("ann", "mail", ambient.steady_ms()).revealed;
        assert_eq!(
            held(),
            few,
            "what was refused is not kept, and nothing is lost for it"
        );
        drop(first);
        // It still lingers.
        assert!(tell(&long).is_err());
        assert_eq!(held().len(), 2_000);
        // As if it had been a minute ago, while another call runs.
        let running = tell(&few[..10]).unwrap();
        let key = ("ann".to_owned(), "mail".to_owned());
        for told in terms.lock().get_mut(&key).unwrap().revealed.values_mut() {
            told.quiet_since_ms -= 2 * LINGER_MS;
        }
        assert!(tell(&long).is_err());
        assert_eq!(held().len(), 2_000, "nothing goes for a call that is refused");
        let some = tell(&long[..10]).unwrap();
        let now_held = held();
        assert!(
            few[..10]
                .iter()
                .chain(&long[..10])
                .all(|pair| now_held.contains(pair))
        );
        let bytes: usize = now_held.iter().map(bytes).sum();
        assert!(bytes <= REVEALED_BYTES_MAX, "{bytes}");
        drop((running, some));
    }
}
